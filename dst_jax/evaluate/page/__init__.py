"""One self-contained page of an evaluation, from values: scores, boxes, provenance.

`dst-jax evaluate --html`, `dst-jax ablate --html` and `dst-jax demo` make it with this
folder alone. Nothing here reads a file, runs a network or touches a device.
"""

from dst_jax.evaluate.page.comparison import Comparison as Comparison
from dst_jax.evaluate.page.comparison import comparisons as comparisons
from dst_jax.evaluate.page.content import PLAIN as PLAIN
from dst_jax.evaluate.page.content import SHARING as SHARING
from dst_jax.evaluate.page.content import TAUGHT as TAUGHT
from dst_jax.evaluate.page.content import Benchmark as Benchmark
from dst_jax.evaluate.page.content import Entry as Entry
from dst_jax.evaluate.page.content import Network as Network
from dst_jax.evaluate.page.exports import page_csv as page_csv
from dst_jax.evaluate.page.exports import page_json as page_json
from dst_jax.evaluate.page.exports import page_latex as page_latex
from dst_jax.evaluate.page.pictures import Answer as Answer
from dst_jax.evaluate.page.pictures import Response as Response
from dst_jax.evaluate.page.pictures import Strip as Strip
from dst_jax.evaluate.page.sections import Page as Page
from dst_jax.evaluate.page.sections import page_html as page_html
from dst_jax.evaluate.page.verdict import verdict as verdict
