"""The pool as the console knows it, and what of it has changed since somebody last looked."""

from collections.abc import Mapping, Sequence

from services.gateway.console.model import Cell, Census, PoolChange

MOST_CELLS = 20_000
"""How many cells are kept and shown; of a larger pool these stand for all."""


class PoolImage:
    """The cells, kept up to date by the changes that a watch tells."""

    def __init__(self) -> None:
        """Begins empty."""
        self.total: Census | None = None
        self.countries: Sequence[Census] = ()
        self.grants = 0.0
        """How many grants were seen: a cell whose fence grows was leased anew."""
        self._cells: dict[int, Cell] = {}
        self._unseen: set[int] = set()
        self._told = 0
        self._changed: set[int] = set()
        self._gone: set[int] = set()

    @property
    def cells(self) -> Mapping[int, Cell]:
        """The cells by the ids of their proxies."""
        return self._cells

    def begin(self) -> None:
        """Notes that a new watch begins: it tells of every cell once, and what it does not tell of is gone."""
        self._unseen = set(self._cells)
        self._told = 0

    def apply(self, change: PoolChange) -> None:
        """Takes what a watch tells."""
        self.total, self.countries = change.total, change.countries
        shown = min(change.total.total, MOST_CELLS)
        weight = change.total.total / shown if shown else 1.0
        for cell in change.cells:
            self._unseen.discard(cell.proxy_id)
            known = self._cells.get(cell.proxy_id)
            if known == cell or (known is None and len(self._cells) >= MOST_CELLS):
                continue
            if known is not None and cell.fence > known.fence:
                self.grants += weight
            self._cells[cell.proxy_id] = cell
            self._changed.add(cell.proxy_id)
            self._gone.discard(cell.proxy_id)
        self._forget(change.gone)
        # A watch does not say when it has told of every cell; it has when as many are told of as there are.
        self._told += len(change.cells)
        if self._unseen and self._told >= change.total.total:
            self._forget(tuple(self._unseen))

    def take_changes(self) -> tuple[Sequence[Cell], Sequence[int]]:
        """Returns the cells that changed and the ids that are gone since the last call."""
        changed = [self._cells[proxy_id] for proxy_id in sorted(self._changed)]
        gone = sorted(self._gone)
        self._changed.clear()
        self._gone.clear()
        return changed, gone

    def _forget(self, proxy_ids: Sequence[int]) -> None:
        for proxy_id in proxy_ids:
            self._unseen.discard(proxy_id)
            self._changed.discard(proxy_id)
            if self._cells.pop(proxy_id, None) is not None:
                self._gone.add(proxy_id)
