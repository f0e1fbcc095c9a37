"""Word vectors: storage, similarity queries and file formats.

``store`` (words and rows) <- ``searching`` (where and how all rows are searched) <- ``queries`` (similarity)
<- ``batches`` (many at once) <- ``keyed_vectors`` (the public class). ``host_rows`` and ``device_rows`` do the
products on the CPU and on a GPU; ``approximate`` searches a part of the rows, and ``index_cache`` keeps what that
takes. ``files`` picks the reader or writer of a format: ``folder`` (model folders), ``word2vec_text``,
``word2vec_binary``, ``safetensors_file``.
"""

from w2v.vectors.files import load_vectors, save_vectors
from w2v.vectors.keyed_vectors import KeyedVectors

__all__ = ["KeyedVectors", "load_vectors", "save_vectors"]
