# ruff: noqa: INP001 -- a script of the image's build
"""Imports once all that the worker imports, while the image is being built.

The base image has no bytecode of the standard library, and a worker whose root is read-only can never write it: each
start, and each decoder process, would compile the modules anew. Besides, a missing shared library shows here.
"""

import importlib
import pkgutil
import platform

from PIL import Image, ImageCms, __version__, features

import worker
from worker.images import heif_decoding, jpeg, lanczos, webp

for module in pkgutil.walk_packages(worker.__path__, "worker."):
    if module.name != "worker.__main__":
        importlib.import_module(module.name)
importlib.import_module("botocore.session")
importlib.import_module("python_calamine")

built = {"_jpeg.c": jpeg.is_built(), "_webp.c": webp.is_built(), "_lanczos.c": lanczos.is_built()}
built |= {"_hevc.c": heif_decoding.is_built("HEIC"), "_av1.c": heif_decoding.is_built("AVIF")}
if not all(built.values()):
    raise SystemExit(
        f"not built, of worker/images: {', '.join(name for name, is_built in built.items() if not is_built)}"
    )
Image.init()
ImageCms.createProfile("sRGB")
missing = [name for name in ("jpg", "zlib", "webp", "littlecms2") if not features.check(name)]
if missing:
    raise SystemExit(f"Pillow was built without {', '.join(missing)}")
if platform.machine() == "x86_64" and "post" not in __version__:
    raise SystemExit(f"expected Pillow-SIMD, found Pillow {__version__}")
