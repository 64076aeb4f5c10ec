"""The same job done by others: libcurl bare, aiohttp, pharox, one plain process.

Never a part of the product's own way.
"""
