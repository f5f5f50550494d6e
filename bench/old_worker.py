"""The old way, as it was: requests, eight threads, stock Pillow, all decoded, `optimize=True`; results to a folder.

`python old_worker.py URLS FOLDER WORKERS`: a file of URLs, 35 to a creator. Tells its CPU seconds without the imports.
"""

import io
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from PIL import Image
from ways import CELL, COLS, old_cell


def main(urls, folder, workers):
    lines = Path(urls).read_text().split()
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=64, pool_maxsize=64))
    Image.init()
    before, began = spent(), time.monotonic()
    with ThreadPoolExecutor(int(workers)) as pool:
        for number, first in enumerate(range(0, len(lines), 35)):
            cells = list(
                pool.map(lambda url: old_cell(session.get(url, timeout=30).content), lines[first : first + 35])
            )
            canvas = Image.new("RGB", (COLS * CELL, -(-len(cells) // COLS) * CELL), "white")
            for index, cell in enumerate(cells):
                canvas.paste(cell, (index % COLS * CELL, index // COLS * CELL))
            file = io.BytesIO()
            canvas.save(file, "JPEG", quality=95, optimize=True)
            Path(folder, f"{number}.jpg").write_bytes(file.getvalue())
    print(json.dumps({"cpu": spent() - before, "wall": time.monotonic() - began}))


def spent():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
