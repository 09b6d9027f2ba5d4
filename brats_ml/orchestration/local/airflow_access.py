"""Roles and accounts of Airflow: a viewer looks, an operator runs, an approver answers approvals, an admin does all.

They are kept by the auth manager of Airflow's FAB provider, in Airflow's database, so a laptop and a cluster have the
same ones. No role below `Admin` reads connections and variables, or writes what a task returned.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brats_ml.errors import ConfigError, ServiceError
from brats_ml.orchestration.local.passwords import ensure_passwords, renew_password

AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
ADMIN, VIEWER, OPERATOR, APPROVER = "admin", "viewer", "operator", "approver"
# The role of each account that `prepare` creates.
ACCOUNTS: Mapping[str, str] = {ADMIN: "Admin", VIEWER: "Viewer", OPERATOR: "Operator", APPROVER: "Approver"}
# What our roles may do, each as (action, resource), besides all that Airflow's own role `Viewer` may.
# Airflow also asks for `can_edit` of `DAGs` before it changes anything of a run; alone, that pauses DAGs.
ROLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Operator": (
        ("can_edit", "DAGs"),
        ("can_create", "DAG Runs"),
        ("can_edit", "DAG Runs"),
        ("can_edit", "Task Instances"),
        ("menu_access", "HITL Detail"),
    ),
    "Approver": (
        ("can_edit", "DAGs"),
        ("can_edit", "HITL Detail"),
        ("menu_access", "HITL Detail"),
    ),
}


def prepare(kept_in: Path, *, migrate: bool = False, reset: str | None = None) -> list[str]:
    """Create the roles and those accounts that are missing; an existing account keeps its password and roles.

    The roles of `ROLES` get exactly what is written there. Airflow's configuration names the database.

    Args:
        kept_in: The file of the passwords; it gets one for each account that it lacks.
        migrate: First create or upgrade the tables, as `airflow db migrate` does, and write a missing airflow.cfg.
        reset: An account that gets a new password.

    Returns:
        One sentence for each change.

    Raises:
        ConfigError: Airflow is configured with another auth manager, or there is no account of this name.
        ServiceError: The database does not answer, or lacks the tables.
    """
    if reset is not None and reset not in ACCOUNTS:
        raise ConfigError(f"there is no account {reset}: name one of {', '.join(ACCOUNTS)}", key="--reset")
    from airflow.configuration import conf
    from sqlalchemy.exc import SQLAlchemyError

    if conf.get("core", "auth_manager") != AUTH_MANAGER:
        raise ConfigError(
            f"Airflow is configured without roles: set AIRFLOW__CORE__AUTH_MANAGER={AUTH_MANAGER}",
            key="AIRFLOW__CORE__AUTH_MANAGER",
        )
    if migrate:
        _migrate()
    known = ensure_passwords(kept_in, *ACCOUNTS)
    try:
        with _security_manager() as manager:
            changes = [*_sync_roles(manager), *_sync_accounts(manager, known)]
            if reset is not None:
                manager.reset_password(manager.find_user(username=reset).id, renew_password(kept_in, reset))
                changes.append(f"the new password of {reset} is in {kept_in}")
            return changes
    except SQLAlchemyError as error:
        raise ServiceError(
            f"Airflow's database cannot be used ({type(error).__name__}): start its server, and run "
            "`airflow db migrate` if it is new"
        ) from error


def _migrate() -> None:
    from airflow.cli.cli_parser import get_parser
    from airflow.configuration import write_default_airflow_configuration_if_needed

    # Servers that start at the same moment would each make a file with secrets of their own.
    write_default_airflow_configuration_if_needed()
    arguments = get_parser().parse_args(["db", "migrate"])
    arguments.func(arguments)


@contextmanager
def _security_manager() -> Iterator[Any]:
    """Yield FAB's own functions on roles and accounts, without its lines on each permission and on web servers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

            with get_application_builder() as builder:
                yield builder.sm
    finally:
        logging.disable(logging.NOTSET)


def _sync_roles(manager: Any) -> Iterator[str]:
    for name, more in ROLES.items():
        wanted = {*manager.VIEWER_PERMISSIONS, *more}
        role = manager.find_role(name) or manager.add_role(name)
        has = {(permission.action.name, permission.resource.name): permission for permission in role.permissions}
        for action, resource in sorted(wanted - has.keys()):
            manager.add_permission_to_role(role, manager.create_permission(action, resource))
        for pair in sorted(has.keys() - wanted):
            manager.remove_permission_from_role(role, has[pair])
        if wanted != has.keys():
            yield f"the role {name} may do what it should"


def _sync_accounts(manager: Any, known: Mapping[str, str]) -> Iterator[str]:
    for account, role in ACCOUNTS.items():
        if manager.find_user(username=account) is None:
            manager.add_user(
                username=account,
                first_name=account.capitalize(),
                last_name="",
                email=f"{account}@localhost",
                role=manager.find_role(role),
                password=known[account],
            )
            yield f"the account {account} has the role {role}"
