"""What a worker of Celery does when it is asked to end, and that Airflow's executor fits the locked Celery."""

import json
import subprocess
import sys
from pathlib import Path

from brats_ml.environment import for_child

# The process stands for a worker: its child for a process of the pool, and the child of that one for a task.
WORKER = """
import json, subprocess, sys
import airflow.providers.celery.executors.celery_executor
from brats_ml.orchestration.dag import celery_worker
from celery.signals import worker_shutting_down

TASK = "import sys, time; print('begun', flush=True); time.sleep(300)"
POOL = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {TASK!r}]).returncode)"
celery_worker.PATIENCE_S = 0.1
pool = subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True)
pool.stdout.readline()
worker_shutting_down.send(sender="worker", sig="SIGTERM", how="Warm", exitcode=0)
said, _ = pool.communicate(timeout=60)
print(json.dumps({"task": int(said), "pool": pool.returncode, "acks_late": celery_worker.CONFIG["task_acks_late"]}))
"""


def test_a_worker_that_is_asked_to_end_asks_its_tasks_and_keeps_the_processes_that_report(tmp_path: Path) -> None:
    variables = for_child({"AIRFLOW_HOME": str(tmp_path)})
    done = subprocess.run([sys.executable, "-c", WORKER], env=variables, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"task": -15, "pool": 0, "acks_late": True}
