# Makes the environment of the installer, /opt/installer; Debian's Python needs a package to make one.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install --yes --no-install-recommends python3-venv
fi
python3 -m venv /opt/installer
