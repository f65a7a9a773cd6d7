"Share the cores between test processes before anything loads torch."
import os

from fishlearn.samples.notebook import _temporary_folder

workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
if workers: os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
if "FISHLEARN_CACHE" not in os.environ: os.environ["FISHLEARN_CACHE"] = _temporary_folder("fishlearn-tests-")
