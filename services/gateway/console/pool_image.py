"""The state of the pool as a watch reports it, and its changes since the last frame."""

from collections.abc import Mapping, Sequence

from services.gateway.console.model import Cell, PoolChange, StateCounts

MOST_CELLS = 20_000
"""The number of cells that are kept and shown; in a larger pool they are a sample."""


class PoolImage:
    """Holds the cells (one per IP), and applies the changes that a watch reports."""

    def __init__(self) -> None:
        """Starts empty."""
        self.total: StateCounts | None = None
        self.countries: Sequence[StateCounts] = ()
        self.grants = 0.0
        """The number of leases granted since the start, scaled up if the cells are a sample."""
        self._cells: dict[int, Cell] = {}
        self._unconfirmed: set[int] = set()
        self._reported = 0
        self._changed: set[int] = set()
        self._gone: set[int] = set()

    @property
    def cells(self) -> Mapping[int, Cell]:
        """The cells by proxy id."""
        return self._cells

    def begin(self) -> None:
        """Starts a new watch: it reports every cell once, and a cell that it does not report is gone."""
        self._unconfirmed = set(self._cells)
        self._reported = 0

    def apply(self, change: PoolChange) -> None:
        """Applies a change that the watch reported."""
        self.total, self.countries = change.total, change.countries
        shown = min(change.total.total, MOST_CELLS)
        weight = change.total.total / shown if shown else 1.0
        for cell in change.cells:
            self._unconfirmed.discard(cell.proxy_id)
            known = self._cells.get(cell.proxy_id)
            if known == cell or (known is None and len(self._cells) >= MOST_CELLS):
                continue
            if known is not None and cell.fence > known.fence:
                # The fence grows with every lease.
                self.grants += weight
            self._cells[cell.proxy_id] = cell
            self._changed.add(cell.proxy_id)
            self._gone.discard(cell.proxy_id)
        self._forget(change.gone)
        # A watch does not say when it has reported every cell; it has when it reported as many as there are.
        self._reported += len(change.cells)
        if self._unconfirmed and self._reported >= change.total.total:
            self._forget(tuple(self._unconfirmed))

    def take_changes(self) -> tuple[Sequence[Cell], Sequence[int]]:
        """Returns the cells that changed and the proxy ids that are gone since the last call."""
        changed = [self._cells[proxy_id] for proxy_id in sorted(self._changed)]
        gone = sorted(self._gone)
        self._changed.clear()
        self._gone.clear()
        return changed, gone

    def _forget(self, proxy_ids: Sequence[int]) -> None:
        for proxy_id in proxy_ids:
            self._unconfirmed.discard(proxy_id)
            self._changed.discard(proxy_id)
            if self._cells.pop(proxy_id, None) is not None:
                self._gone.add(proxy_id)
