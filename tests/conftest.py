"Share the cores between test processes before anything loads torch."
import os
import tempfile

workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
if workers: os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("FISHLEARN_CACHE", tempfile.mkdtemp(prefix="fishlearn-tests-"))
