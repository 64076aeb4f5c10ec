"""The version of Clicktrace, written here and nowhere else; images, telemetry and the tracer's User-Agent read it."""

VERSION = "0.1.0"
"""The release that this code is, or is on the way to; Semantic Versioning 2.0.0."""

USER_AGENT = f"Mozilla/5.0 (compatible; Clicktrace/{VERSION.rpartition('.')[0]}; redirect tracer)"
"""How the tracer names itself to origins, with major and minor version."""
