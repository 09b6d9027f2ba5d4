# Makes /opt/venv for one image: the packages that requirements/images/IMAGE.names lists of a lock, and this
# project. Usage: packages.sh IMAGE LOCK
requirements=/context/requirements
export VIRTUAL_ENV=/opt/venv UV_CACHE_DIR=/opt/cache UV_LINK_MODE=hardlink UV_PYTHON_DOWNLOADS=never

uv() {
  /opt/installer/bin/uv --quiet pip "$@"
}

python3 -m venv --without-pip "$VIRTUAL_ENV"
sh -eu /context/docker/subset.sh "$1" "$2" "$requirements" > /tmp/lock.txt
set -- --compile-bytecode --build-constraints "$requirements/build.txt" \
  ${WHEELHOUSE:+--no-index --find-links "/context/$WHEELHOUSE"}
uv sync "$@" --require-hashes /tmp/lock.txt
uv install "$@" --no-deps /context
case $1 in worker-*) sh /context/requirements/niivue.sh "/context/${WHEELHOUSE:-wheelhouse}" "$VIRTUAL_ENV/share/niivue" ;; esac
# A list that lacks a package ends here.
uv check
rm -rf "$UV_CACHE_DIR" /tmp/lock.txt
