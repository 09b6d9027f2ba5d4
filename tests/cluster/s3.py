"""The S3 server of a cluster: Ceph's RADOS gateway on one monitor and one store (docs/decisions/0019)."""

import json
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3

from brats_ml import files
from brats_ml.environment import for_child
from tests.cluster.settings import BUCKETS, HOST, Cluster

# A file that grows with its content; the size is the most that it can hold.
STORE_BYTES = 20 * 2**30
CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "client.rgw": {"mon": "allow rwx", "osd": "allow rwx"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}


def command(cluster: Cluster, part: str) -> tuple[str, ...]:
    """Return how to start the monitor `mon`, the store `osd` or the gateway `rgw`."""
    configuration = ("-f", "-c", str(_folder(cluster) / "ceph.conf"))
    return {
        "mon": ("ceph-mon", "-i", "a", *configuration),
        "osd": ("ceph-osd", "-i", "0", *configuration),
        "rgw": ("radosgw", "-n", "client.rgw", *configuration),
    }[part]


def create(cluster: Cluster) -> None:
    """Create monitor and keys where there are none, as a whole."""
    folder = _folder(cluster)
    if folder.exists():
        return
    address = f"[v2:{HOST}:{cluster.ports['ceph-mon']}]"
    fsid = str(uuid.uuid4())
    with files.replacing(folder) as new:
        new.mkdir(mode=0o700)
        for part in ("mon", "osd", "rgw"):
            (new / part).mkdir(mode=0o700)
        (new / "ceph.conf").write_text(_configuration(cluster, fsid, folder))
        keyring = str(new / "keyring")
        for number, (name, allowed) in enumerate(CAPABILITIES.items()):
            capabilities = [word for system, rule in allowed.items() for word in ("--cap", system, rule)]
            first = [] if number else ["--create-keyring"]
            _run("ceph-authtool", keyring, *first, "--gen-key", "-n", name, *capabilities)
        monmap = str(new / "monmap")
        _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
        # The configuration names the folder by its later name, so the new one is named here.
        made = ("--mon-data", str(new / "mon"), "--keyring", keyring, "--log-file", str(new / "mkfs.log"))
        _run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "-c", str(new / "ceph.conf"), *made)


def create_store(cluster: Cluster) -> None:
    """Create the store and its key where there are none; the monitor must run."""
    folder = _folder(cluster)
    if (folder / "osd/ready").exists():
        return
    _ceph(cluster, "auth", "import", "-i", str(folder / "keyring"))
    _ceph(cluster, "config", "set", "mon", "auth_allow_insecure_global_id_reclaim", "false")
    # The same at each try, since the monitor refuses another one for the same store.
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, folder.as_uri()))
    _ceph(cluster, "osd", "new", identity, "0")
    _run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity, "-c", str(folder / "ceph.conf"))


def is_up(cluster: Cluster) -> bool:
    """Return whether the store serves."""
    try:
        return bool(json.loads(_ceph(cluster, "osd", "stat", "-f", "json", "--connect-timeout", "3"))["num_up_osds"])
    except subprocess.CalledProcessError:
        return False


def create_buckets(cluster: Cluster) -> Cluster:
    """Create each bucket with an owner of its own, and return the cluster with the keys of the owners."""
    keys = {bucket: _owner(cluster, bucket) for bucket in BUCKETS}
    created = replace(cluster, keys=keys).saved()
    for bucket in BUCKETS:
        client(created, bucket).create_bucket(Bucket=bucket)
    return created


def client(cluster: Cluster, bucket: str, **options: Any) -> Any:
    """Return a client of the S3 server that logs in as the owner of a bucket."""
    access, secret = cluster.keys[bucket]
    login = {"aws_access_key_id": access, "aws_secret_access_key": secret, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=cluster.url("radosgw"), **login, **options)


def _owner(cluster: Cluster, bucket: str) -> tuple[str, str]:
    arguments = ("--uid", bucket, "-c", str(_folder(cluster) / "ceph.conf"))
    try:
        found = _run("radosgw-admin", "user", "info", *arguments)
    except subprocess.CalledProcessError:
        found = _run("radosgw-admin", "user", "create", "--display-name", bucket, *arguments)
    key = json.loads(found)["keys"][0]
    return key["access_key"], key["secret_key"]


def _ceph(cluster: Cluster, *arguments: str) -> str:
    return _run("ceph", "-c", str(_folder(cluster) / "ceph.conf"), *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, env=for_child({}), check=False, capture_output=True, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command[:3], done.stdout, done.stderr)
    return done.stdout


def _folder(cluster: Cluster) -> Path:
    return cluster.folder / "ceph"


def _configuration(cluster: Cluster, fsid: str, folder: Path) -> str:
    return f"""[global]
fsid = {fsid}
mon host = v2:{HOST}:{cluster.ports["ceph-mon"]}/0
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
public addr = {HOST}
cluster addr = {HOST}
ms bind ipv6 = false
ms bind msgr1 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
run dir = {folder}
admin socket = {folder}/$name.asok
pid file =
log file = {folder}/$name.log
keyring = {folder}/keyring
osd objectstore = bluestore
bluestore block create = true
bluestore block size = {STORE_BYTES}
osd memory target = 939524096
osd class update on start = false
osd crush chooseleaf type = 0
mon data = {folder}/mon
osd data = {folder}/osd
[client.rgw]
rgw frontends = beast endpoint={HOST}:{cluster.ports["radosgw"]}
rgw enable apis = s3
rgw thread pool size = 32
rgw data = {folder}/rgw
"""
