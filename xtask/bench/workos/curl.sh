#!/usr/bin/env bash
# Bulk deletion with curl alone: list page by page, write all URLs into a config file, delete them
# over 40 connections. It is a peer in the benchmark. It takes everything that is listed.
#
# Usage: curl.sh URL KEY organizations|users FOLDER
set -euo pipefail

url=$1 key=$2 kind=$3 folder=$4
case $kind in
    users) list=/user_management/users prefix=user_ ;;
    *) list=/organizations prefix=org_ ;;
esac

after='' page=$folder/page.json config=$folder/urls.conf
: > "$config"
while :; do
    curl --silent --show-error --fail --header "Authorization: Bearer $key" \
        --output "$page" "$url$list?limit=100${after:+&after=$after}"
    grep --only-matching --extended-regexp "\"id\":\"${prefix}[0-9A-Z]{26}\"" "$page" |
        sed -E "s|.*\"(${prefix}[0-9A-Z]+)\"|url = \"$url$list/\\1\"|" >> "$config"
    after=$(sed -nE 's/.*"after":"([^"]*)".*/\1/p' "$page")
    [ -n "$after" ] || break
done
[ -s "$config" ] || exit 0
curl --silent --show-error --parallel --parallel-max 40 --parallel-immediate --request DELETE \
    --header "Authorization: Bearer $key" --config "$config" > "$folder/answers"
