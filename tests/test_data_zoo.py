"A few hundred odd pictures, as Pillow, ImageMagick and libheif write them: none is refused, each is the right way up."
import shutil
import struct
import subprocess
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps, features

from fishlearn.data.inspect import inspect_photo
from fishlearn.data.reading import read_photo
from fishlearn.data.shape import _photo_size
from fishlearn.errors import JobError

T = Image.Transpose
STORED = {1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90,
          7: T.TRANSVERSE, 8: T.ROTATE_270}
CONVERT, HEIF_ENC = shutil.which("convert"), shutil.which("heif-enc")


def picture():
    "No two quarters alike."
    y, x = np.mgrid[:64, :96]
    im = Image.fromarray(np.stack([40 + x * 150 // 96, 60 + y * 120 // 64, 200 - x * 100 // 96], -1).astype(np.uint8))
    for box, colour in (((0, 0, 31, 20), (230, 30, 30)), ((64, 43, 95, 63), (20, 160, 40)),
                        ((72, 0, 95, 12), (240, 240, 240)), ((0, 48, 19, 63), (10, 10, 60))):
        ImageDraw.Draw(im).rectangle(box, fill=colour)
    return im


P = picture()


def small(im): return np.asarray(im.convert("RGB").resize((12, 8), Image.Resampling.BOX), float)


REFERENCES = [small(im) for im in (P, P.convert("L"), P.convert("1"), P.convert("1", dither=Image.Dither.NONE), P.quantize(4))]


def faults(folder):
    "What is wrong with the pictures in a folder, by name."
    found = {}
    for file in sorted(folder.iterdir()):
        facts = inspect_photo(str(file)).facts
        if facts.status != "ok":
            found[file.name] = facts.reason
            continue
        im = read_photo(str(file))
        far = min(np.abs(small(im) - r).mean() for r in REFERENCES) if im.size == P.size else 999
        if far > 20 or not (facts.width, facts.height) == _photo_size(str(file)) == P.size: found[file.name] = far, im.size
    return found


def with_alpha(im): return Image.merge("RGBA", (*im.convert("RGB").split(), Image.new("L", im.size, 255)))


def modes():
    "The picture in every mode."
    grey, rgba = np.asarray(P.convert("L")), with_alpha(P)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    found = {m: P.convert(m) for m in ("1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "RGBX")}
    found |= {m: rgba.convert(m) for m in ("RGBA", "LA", "RGBa")} | {"PA": found["P"].convert("PA"), "P16": P.quantize(16)}
    found |= {"La": found["LA"].convert("La"), "LAB": ImageCms.applyTransform(P, ImageCms.buildTransform(*profiles, "RGB", "LAB"))}
    found |= {"I;16": Image.fromarray(grey.astype(np.uint16) * 257), "I": Image.fromarray(grey.astype(np.int32) * 257)}
    return found | {"I;16B": Image.frombytes("I;16B", P.size, (grey.astype(">u2") * 257).tobytes())}


LOSSY_FOR_16_BITS = {"gif", "webp", "avif", "heic"}     # Pillow clips the values before it writes them
COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group3", "group4", "tiff_ccitt", "lzma", "zstd")


def save(file, im, **options):
    "Save a picture if Pillow can, and can read it itself; some of its versions write what none reads."
    try:
        im.save(file, **options)
        Image.open(file).load()
    except Exception: file.unlink(missing_ok=True)


def by_pillow(folder):
    "Every mode in every format, and what each format has of its own."
    suffixes = "png tif gif bmp dib webp jpg jp2 j2k tga ppm pgm pbm avif mpo".split()
    for (mode, im), suffix in product(modes().items(), suffixes):
        if mode.startswith("I") and suffix in LOSSY_FOR_16_BITS: continue
        if mode in ("CMYK", "YCbCr") and suffix == "j2k": continue      # does not say what its channels are
        save(folder / f"{mode}.{suffix}", im)
    for (mode, im), compression in product(modes().items(), COMPRESSIONS):
        save(folder / f"{mode}_{compression}.tif", im, compression=compression)
    for mode, im in modes().items():
        save(folder / f"{mode}_rle.tga", im, compression="tga_rle")
        save(folder / f"{mode}_down.tga", im, orientation=1)
        save(folder / f"{mode}_big.tif", im, big_tiff=True)
    few, more = P.quantize(15), [ImageOps.mirror(P), ImageOps.flip(P)]
    for name, im, options in (("key.png", few, dict(transparency=15)), ("keys.png", few, dict(transparency=b"\xff" * 16)),
                              ("grey.png", P.convert("L"), dict(transparency=7)), ("rgb.png", P, dict(transparency=(1, 2, 3))),
                              ("bits.png", few, dict(bits=4)), ("lossless.webp", P, dict(lossless=True)),
                              ("restart.jpg", P, dict(restart_marker_blocks=2)), ("rgb.jpg", P, dict(keep_rgb=True)),
                              ("tiles.jp2", P, dict(tile_size=(32, 32))), ("stream.jp2", P, dict(no_jp2=True))):
        save(folder / name, im, **options)
    for suffix in ("gif", "png", "webp", "tif", "avif", "mpo"):
        save(folder / f"several.{suffix}", P, save_all=True, append_images=more)
    for progressive, sampling in product((False, True), ("4:4:4", "4:2:2", "4:2:0", "4:1:1")):
        save(folder / f"{progressive}_{sampling.replace(':', '')}.jpg", P, progressive=progressive, subsampling=sampling)


def by_orientation(folder):
    "Every EXIF orientation in every format that has it."
    for orientation, turn in STORED.items():
        exif, stored = Image.Exif(), P if turn is None else P.transpose(turn)
        exif[0x112] = orientation
        for suffix, options in (("jpg", dict(quality=95)), ("png", {}), ("webp", dict(lossless=True)), ("tif", {}),
                                ("avif", {}), ("mpo", {}), ("heic", {})):
            save(folder / f"{orientation}.{suffix}", stored, exif=exif.tobytes(), **options)
        for mode in ("L", "CMYK"):
            save(folder / f"{orientation}_{mode}.jpg", stored.convert(mode), exif=exif)
            save(folder / f"{orientation}_{mode}.tif", stored.convert(mode), exif=exif, compression="tiff_lzw")


def by_bits(folder):
    "8 to 16 bits in a coat of 16."
    for bits in (8, 10, 12, 14, 16):
        fewer = lambda im, bits=bits: np.asarray(im).astype(np.uint32) * ((1 << bits) - 1) // 255
        grey, rgb = fewer(P.convert("L")), fewer(P)
        opaque = np.full(grey.shape, 65535, np.uint32)
        for name, a, kind in (("l", grey, 0), ("rgb", rgb, 2), ("la", np.dstack([grey, opaque]), 4),
                              ("rgba", np.dstack([rgb, opaque]), 6)):
            png(folder / f"{bits}_{name}.png", a, kind)
        Image.fromarray(grey.astype(np.uint16)).save(folder / f"{bits}.tif", compression="tiff_lzw")
        for most in {65535, (1 << bits) - 1} - {255}:
            for suffix, magic, a in (("pgm", b"P5", grey), ("ppm", b"P6", rgb)):
                data = magic + b" 96 64 %d\n" % most + a.astype(">u2").tobytes()
                (folder / f"{bits}_{most}.{suffix}").write_bytes(data)


def png(file, a, kind):
    "Write a PNG of 16 bits, which Pillow cannot do in colour."
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in a)
    head = struct.pack(">IIBBBBB", a.shape[1], a.shape[0], 16, kind, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def by_imagemagick(folder):
    "What ImageMagick writes."
    jobs = {f"{depth}.{suffix}": ["-depth", str(depth)] for depth in (4, 8, 10, 12, 14, 16)
            for suffix in ("png", "tif", "ppm", "pam", "jpg")}
    jobs |= {f"{kind}_{depth}.tif": [*args, "-depth", str(depth)] for depth in (4, 8, 12, 16) for kind, args in (
        ("cmyk", ["-colorspace", "CMYK"]), ("rgba", ["-alpha", "set"]), ("grey", ["-colorspace", "Gray"]))}
    jobs |= {f"{suffix[0]}{kind}.{suffix}": ["-type", kind] for suffix in ("tif", "png", "gif", "bmp", "pam", "jp2", "ppm", "webp")
             for kind in ("Grayscale", "Palette", "TrueColor", "TrueColorAlpha", "ColorSeparation", "GrayscaleAlpha")}
    jobs |= {f"{c}_{kind}.tif": ["-type", kind, "-compress", c] for c in ("None", "JPEG", "LZW", "RLE", "Zip")
             for kind in ("TrueColor", "Grayscale", "Palette", "ColorSeparation")}
    jobs |= {f"tile_{c}.tif": ["-compress", c, "-define", "tiff:tile-geometry=32x32"] for c in ("None", "LZW", "Zip", "JPEG")}
    jobs |= {f"{e}_{d}.tif": ["-depth", d, "-define", f"tiff:endian={e}"] for e in ("lsb", "msb") for d in ("8", "12", "16")}
    jobs |= {f"planar_{c}_{d}.tif": ["-depth", d, "-compress", c, "-interlace", "plane"] for c in ("None", "LZW", "Zip")
             for d in ("8", "16")}
    jobs |= {f"{s.replace(':', '').replace(',', '_')}_{i}.jpg": ["-sampling-factor", s, "-quality", "95", "-interlace", i]
             for i in ("None", "JPEG") for s in ("2x1", "1x2", "4x1", "1x4", "4x2", "2x4", "3x1", "3x2", "4:1:0", "2x2,1x1,2x2")}
    jobs |= {f"{c}.bmp": ["-colors", c, "-type", "Palette", "-compress", "RLE"] for c in ("16", "200")}
    jobs |= {f"{b}.bmp": ["-define", f"bmp:subtype={b}"] for b in ("RGB555", "RGB565", "ARGB1555")}
    jobs |= {f"{i}_interlaced.png": ["-interlace", i] for i in ("PNG", "Line")} | {"ascii.ppm": ["-compress", "none"]}
    jobs |= {"arithmetic.jpg": ["-define", "jpeg:arithmetic-coding=true"], "lab.tif": ["-colorspace", "Lab"]}
    P.save(folder / "original.png")
    for name, args in jobs.items(): subprocess.run([CONVERT, folder / "original.png", *args, folder / name], capture_output=True)


def by_libheif(folder):
    "What libheif's own encoder writes."
    for name, im in (("rgb", P), ("rgba", with_alpha(P)), ("grey", P.convert("L"))):
        im.save(folder.parent / "in.png")
        for suffix, args in product(("heic", "avif"), ([], ["-L"], ["-p", "chroma=444"], ["-t", "32"], ["-q", "90"])):
            command = [HEIF_ENC, folder.parent / "in.png", "-o", folder / f"{name}{len(args)}{args[-1:]}.{suffix}", *args]
            subprocess.run(command + ["-A"] * (suffix == "avif"), capture_output=True)


@pytest.mark.parametrize("write, least, tool", [
    (by_pillow, 200, True), (by_orientation, 60, True), (by_bits, 40, True), (by_imagemagick, 150, CONVERT), (by_libheif, 20, HEIF_ENC)])
def test_the_zoo(write, least, tool, tmp_path):
    if not tool: pytest.skip("its program is not installed")
    if features.check("avif") is False: pytest.skip("this Pillow has no AVIF")
    try: __import__("pillow_heif").register_heif_opener()
    except ImportError:
        if write in (by_libheif, by_orientation): pytest.skip("pillow-heif is not installed")
    folder = tmp_path / "zoo"
    folder.mkdir()
    write(folder)
    for file in list(folder.iterdir()):
        if file.stat().st_size == 0: file.unlink()      # ImageMagick leaves them where libjpeg refuses
    assert len(list(folder.iterdir())) >= least
    assert faults(folder) == {}


def test_stale_exif_of_heic_is_not_used(tmp_path):
    "libheif rotates the pixels itself; the EXIF data may still hold the orientation of the camera."
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x112] = 6
    P.transpose(STORED[6]).save(tmp_path / "box.heic", exif=exif.tobytes())     # rotated by a box of the container
    P.save(tmp_path / "stale.heic", exif=exif)                                  # no such box
    assert b"irot" in (tmp_path / "box.heic").read_bytes() and b"irot" not in (tmp_path / "stale.heic").read_bytes()
    assert faults(tmp_path) == {}


def test_the_depth_is_noted(tmp_path):
    by_bits(tmp_path)
    reasons = {file.name: inspect_photo(str(file)).facts.reason for file in tmp_path.iterdir()}
    told = {name: reason for name, reason in reasons.items() if reason}
    assert told["12_rgb.png"] == told["12_l.png"] == told["12.tif"] == told["12_65535.ppm"] == "holds 12 bits in 16"
    assert not {name for name in told if name.startswith("16_") or name == "12_4095.pgm"}


def mutated(data, others, rng):
    "The same bytes, changed in a few places."
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, how = int(rng.integers(min(len(out), 300))), rng.integers(5)
        other = others[rng.integers(len(others))]
        if how == 0: out[at] ^= 1 << int(rng.integers(8))
        elif how == 1: out[at:at + 4] = int(rng.choice([0, 1, 255, 65500, 2**31, 2**32 - 1])).to_bytes(4, "big")
        elif how == 2: del out[at + 8:at + 8 + int(rng.integers(1, 60))]
        elif how == 3: out[at:at] = other[at:at + 40]
        else: del out[int(rng.integers(20, len(out) + 20)):]
    return bytes(out)


def test_whatever_is_in_a_file_there_is_an_answer(tmp_path):
    folder, rng = tmp_path / "seeds", np.random.default_rng(0)
    folder.mkdir()
    by_orientation(folder)
    by_bits(folder)
    for suffix in ("gif", "bmp", "jp2", "tga"): P.save(folder / f"more.{suffix}")
    seeds = [file.read_bytes() for file in sorted(folder.iterdir())]
    file, seen = tmp_path / "mutated.jpg", {"ok": 0, "unreadable": 0}
    for _ in range(1500):
        file.write_bytes(mutated(seeds[rng.integers(len(seeds))], seeds, rng))
        facts = inspect_photo(str(file)).facts
        seen[facts.status] += 1
        assert facts.status == "ok" or facts.reason
        for ask in (read_photo, _photo_size, lambda f: read_photo(f + "#xywh=3,4,20,20")):
            try: ask(str(file))
            except JobError as e: assert str(e)
    assert min(seen.values()) > 100
