# Brings NiiVue, the viewer of the page of predictions: the npm package that niivue.sha512 names, checked by its hash.
# Usage: niivue.sh HOUSE          keeps the package in the folder HOUSE
#        niivue.sh HOUSE TARGET   installs its viewer in the folder TARGET, from HOUSE if that has the package
# Without npm and without the package it says so and succeeds, since all else works without a viewer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
read -r _ package < "$here/niivue.sha512"
version=${package#niivue-niivue-}
house=$1

whole() {
  [ -f "$1/$package" ] && (cd "$1" && sha512sum --status --check "$here/niivue.sha512")
}

if ! whole "$house"; then
  if [ -n "${UV_OFFLINE:-}" ] || ! command -v npm > /dev/null; then
    echo "The page of predictions will show pictures without a viewer: there is no npm, and no $package in $house. Install npm and run make again."
    exit 0
  fi
  [ $# -eq 1 ] || house=$(mktemp -d)
  mkdir -p "$house"
  if ! npm pack --silent --ignore-scripts --pack-destination "$house" "@niivue/niivue@${version%.tgz}" > /dev/null; then
    echo "The page of predictions will show pictures without a viewer: npm cannot download $package. Run make again later."
    exit 0
  fi
  whole "$house" || { echo "$package from npm has another hash than requirements/niivue.sha512: it is not installed."; exit 1; }
fi
if [ $# -eq 2 ]; then
  mkdir -p "$2"
  tar -xzf "$house/$package" -O package/dist/niivue.umd.js > "$2/.niivue.umd.js"
  mv "$2/.niivue.umd.js" "$2/niivue.umd.js"
fi
[ "$house" = "$1" ] || rm -r "$house"
