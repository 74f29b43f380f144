"""What runs the shards of a scan: Dagster's own executors, chosen by HUNTER_EXECUTOR.

Belongs here: from settings to an executor, and the Celery app that executor and workers share. Does not belong here:
what a shard does (`upkeep.shards`), and the job of shards (`spread`). Celery and Kubernetes are extras of the package.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

import dagster as dg

from hunter_pipeline.settings import Settings, SettingsError

EXTRAS = {"celery": ("dagster-celery", "celery"), "k8s": ("dagster-k8s", "kubernetes")}
"""For each executor that is no part of Dagster itself the package that has it, and the extra that installs it."""


def make_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the job that spreads a scan.

    :raises SettingsError: its package is not installed, or a setting that it needs is missing.
    """
    at_once: dict[str, Any] = {"max_concurrent": settings.scan_shares}
    try:
        match settings.executor:
            case "in_process":
                return dg.in_process_executor
            case "multiprocess":
                # The imports are made once and not for each step, where the system can.
                if "forkserver" in multiprocessing.get_all_start_methods():
                    preloaded = {"preload_modules": ["hunter_pipeline.orchestration.build"]}
                    at_once["start_method"] = {"forkserver": preloaded}
                return dg.multiprocess_executor.configured(at_once)
            case "celery":
                from dagster_celery import celery_executor

                return celery_executor.configured(celery_config(settings))
            case "k8s":
                from dagster_k8s import k8s_job_executor

                return k8s_job_executor.configured(at_once)
    except ModuleNotFoundError as error:
        raise _missing(settings.executor) from error


def celery_config(settings: Settings) -> dict[str, Any]:
    """What Dagster's Celery executor and its workers are given.

    A task is acknowledged when it has ended. That of a worker which dies goes to another one: at once when only the
    process below the worker died, else after the time that a claim holds. A shard that is at work for longer than that
    is begun a second time; then its claims keep the two apart.

    :raises SettingsError: HUNTER_CELERY_URL is not set.
    """
    if settings.celery_url is None:
        raise SettingsError(
            "HUNTER_CELERY_URL is not set; give the Redis that hands shards to workers, such as redis://host:6379/0"
        )
    url = settings.celery_url.get_secret_value()
    return {
        "broker": url,
        "backend": url,
        "config_source": {
            "task_acks_late": True,
            "task_reject_on_worker_lost": True,
            "worker_prefetch_multiplier": 1,
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {
                "visibility_timeout": settings.scan_claim_seconds,
                "unacked_restore_interval": 10,
                "unacked_restore_throttle": 1,
            },
        },
    }


def make_celery_app(settings: Settings) -> Any:
    """The app of a worker: Dagster's own, with Dagster's task that executes a step.

    :raises SettingsError: dagster-celery is not installed, or HUNTER_CELERY_URL is not set.
    """
    try:
        from dagster_celery.executor import CeleryExecutor
        from dagster_celery.make_app import make_app
        from dagster_celery.tasks import create_task
    except ModuleNotFoundError as error:
        raise _missing("celery") from error
    arguments = CeleryExecutor.for_cli(**celery_config(settings)).app_args()  # type: ignore[no-untyped-call]
    app = make_app(arguments)  # type: ignore[no-untyped-call]
    create_task(app)  # type: ignore[no-untyped-call]
    return app


def _missing(executor: str) -> SettingsError:
    package, extra = EXTRAS[executor]
    return SettingsError(
        f"HUNTER_EXECUTOR={executor} needs the package {package}; install it with:"
        f" pip install 'hunter-pipeline[{extra}]'"
    )
