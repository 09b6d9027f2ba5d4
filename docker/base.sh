# Prepares a base image: what it lacks of Python, git and CA certificates, a user of its own, and empty folders.
missing=""
command -v python3 >/dev/null || missing="$missing python3"
command -v git >/dev/null || missing="$missing git"
test -s /etc/ssl/certs/ca-certificates.crt || missing="$missing ca-certificates"
if test -n "$missing"; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  # shellcheck disable=SC2086  # a list of packages
  apt-get install --yes --no-install-recommends $missing
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig /var/log/*
fi
python3 -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "BASE needs Python 3.11, 3.12 or 3.13")'

# The number may already be that of another user of the base image, which is then ours.
cut -d: -f3 /etc/passwd | grep -qx "$BRATS_UID" || echo "brats:x:$BRATS_UID:0:brats:/tmp:/usr/sbin/nologin" >> /etc/passwd
install -d -m 0775 -o "$BRATS_UID" -g 0 /state /accounts
# The repository that is mounted here belongs to a user of the host.
printf '[safe]\n\tdirectory = /repository\n' > /etc/gitconfig
# Airflow would otherwise write a configuration with secrets.
install -d /opt/airflow
install -d -m 1777 /opt/brats/.dvc/tmp
echo '# Environment variables have all settings.' > /opt/airflow/airflow.cfg
