"""The console on the internal port: one page that shows the pool, clicks, offers and pool sizes live.

`board` gathers what all browsers share and sends it in frames; `page`, `parts`, `offers` and `waterfall` render HTML;
`routes` alone speaks HTTP. Never changes anything but through the use cases: it starts a trace as a click does.
"""
