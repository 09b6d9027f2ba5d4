# Prints the part of a lock that an image has: the packages that requirements/images/IMAGE.names lists.
# Usage: subset.sh IMAGE LOCK REQUIREMENTS
awk 'NR == FNR {named[$1]; next} /^[a-z0-9]/ {split($0, part, "=="); keep = part[1] in named} keep' \
  "$3/images/$1.names" "$3/$2.txt"
