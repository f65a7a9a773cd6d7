"Make stored outputs smaller: pictures with a palette, moderate quality and width, fewer digits; tables without styles."
import base64
import io
import json
import re
import sys
from pathlib import Path

from PIL import Image

COLOURS, QUALITY, WIDTH = 28, 45, 620


def smaller(kind, data):
    "A picture in fewer bytes; the same if that fails to make it smaller."
    im, out = Image.open(io.BytesIO(data)), io.BytesIO()
    if im.width > WIDTH:
        im = im.convert("RGB").resize((WIDTH, round(im.height * WIDTH / im.width)), Image.Resampling.LANCZOS)
    if kind == "image/png":
        im.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    else: im.convert("RGB").save(out, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    return out.getvalue() if len(out.getvalue()) < .9 * len(data) else data


def plainer(svg):
    "A drawing with one digit behind the point in its paths, without metadata, comments and indents."
    path = lambda m: ' d="' + re.sub(r"(\d+\.\d)\d+", r"\1", " ".join(m[1].split())) + '"'
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    return re.sub(r"\n\s*", "\n", re.sub(r' d="([^"]*)"', path, svg))


def lighter(html):
    "A page whose pictures take fewer bytes, and whose tables come without pandas' style sheet and indents."
    html = re.sub(r"\n\s*", "\n", re.sub(r"<style scoped>.*?</style>\s*", "", html, flags=re.DOTALL))
    def picture(m): return f"data:{m[1]};base64,{base64.b64encode(smaller(m[1], base64.b64decode(m[2]))).decode()}"
    return re.sub(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=]+)", picture, html)


def shrink(file):
    "Shrink the pictures of a notebook; how many bytes that saved."
    before = file.read_text(encoding="utf-8")
    nb = json.loads(before)
    for output in (o for cell in nb["cells"] for o in cell.get("outputs", [])):
        for kind, text in (output.get("data") or {}).items():
            text = "".join(text)
            if kind == "image/svg+xml": output["data"][kind] = plainer(text).splitlines(True)
            if kind == "text/html": output["data"][kind] = lighter(text).splitlines(True)
            if kind not in ("image/png", "image/jpeg"): continue
            data = base64.b64decode(text)
            if (new := smaller(kind, data)) is not data: output["data"][kind] = base64.b64encode(new).decode() + "\n"
    after = json.dumps(nb, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if len(after) < len(before): file.write_text(after, encoding="utf-8")
    return max(0, len(before) - len(after))


def main():
    "Shrink the notebooks that are named, or all of them."
    files = [Path(f) for f in sys.argv[1:]] or sorted(Path("nbs").rglob("*.ipynb"))
    print(f"{sum(map(shrink, files)) // 1000} KB saved in {len(files)} notebooks")


if __name__ == "__main__": main()
