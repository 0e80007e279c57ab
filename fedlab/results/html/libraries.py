"""The chart libraries that a page carries: Vega, Vega-Lite and vega-embed as one script."""

import functools
from contextlib import suppress
from importlib import metadata

from fedlab.common.files import replace_text
from fedlab.common.prepared_cache import cache_folder

_EXPORT = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def chart_libraries() -> str:
    """Return the libraries as a module that sets `vegaEmbed`.

    Bundling them takes a second or more, so the script is kept in the cache folder, by the version of its package.
    """
    file = cache_folder() / "charts" / f"vega-{metadata.version('vl-convert-python')}.js"
    with suppress(OSError):
        return file.read_text(encoding="utf-8")
    import vl_convert  # noqa: PLC0415  (large, and not needed where the script is cached)

    script = str(vl_convert.javascript_bundle(_EXPORT))
    with suppress(OSError):  # a cache that cannot be written to
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, script, durable=False)
    return script
