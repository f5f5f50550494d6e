"""What Chromium shows of images: the reference where it is installed."""

import base64
import io
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--virtual-time-budget=60000",
    "--dump-dom",
)

_PAGE = """<!doctype html><meta charset=utf-8><script>
const files = %s, shown = {};
function draw(picture) {
  const canvas = document.createElement('canvas');
  canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
  const context = canvas.getContext('2d');
  context.fillStyle = '%s'; context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  return canvas.toDataURL('image/png');
}
Promise.all(Object.entries(files).map(([name, body]) => new Promise(resolve => {
  const picture = new Image();
  picture.onload = () => { shown[name] = draw(picture); resolve(); };
  picture.onerror = () => { shown[name] = null; resolve(); };
  picture.src = 'data:image/*;base64,' + body;
}))).then(() => { document.title = 'done'; document.body.textContent = 'BEGIN' + JSON.stringify(shown) + 'END'; });
</script><body>"""


def path() -> str | None:
    """Return where Chromium is, None where it is not."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def version() -> str:
    """Return Chromium's version."""
    said = subprocess.run([path() or "chromium", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"[0-9.]+", said)[0] if re.search(r"[0-9.]+", said) else "of unknown version"


def shown(files: dict[str, bytes], background: str = "white") -> dict[str, Image.Image | None]:
    """Return for each file what Chromium shows, over the background and as large as it is; None for a broken image."""
    browser = path()
    if browser is None:
        raise RuntimeError("Chromium is not installed; on Debian: apt-get install chromium")
    bodies = {name: base64.b64encode(body).decode() for name, body in files.items()}
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(_PAGE % (json.dumps(bodies), background))
        command = [browser, *_OPTIONS, f"--user-data-dir={folder}/profile", page.as_uri()]
        said = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    found = re.search("<body>BEGIN(.*)END</body>", said, re.DOTALL)
    if found is None:
        raise RuntimeError("Chromium did not show the images")
    return {name: None if url is None else _picture(url) for name, url in json.loads(found[1]).items()}


def _picture(url: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as picture:
        return picture.convert("RGB")
