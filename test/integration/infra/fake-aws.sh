#!/bin/sh
# A fake AWS CLI. It starts no process except sed, because the tests call it thousands of times. It reads its input to
# the end, as a prompt would. It records each argument followed by a NUL, and each call followed by another NUL.
# `lambda invoke` writes its response to the file that its last argument names.
# Each test has a folder with a link to this file: a test that wrote an executable file itself could not always start it,
# because a process that another thread is just starting can still have it open for writing.
if [ "$1" = --version ]; then echo "aws-cli/${CLI_VERSION:-2.31.0} Python/3.13.7" >&${CLI_VERSION_TO:-1}; exit; fi
while read -r line; do :; done
cd "${0%/*}"
printf '%s\0' "$@" >> calls
printf '\0' >> calls
name="$1 $2"
if [ "$2" = wait ]; then for word; do case $word in *-complete) name=$word;; esac; done; fi
previous=
for word; do
  if [ "$previous" = --change-set-name ]; then echo "$word" > change-set; fi
  previous=$word
done
times=0
if [ -f "times/$name" ]; then read -r times < "times/$name"; fi
times=$((times + 1))
echo "$times" > "times/$name"
for one in "$name $times" "$name"; do
  if [ -f "fails/$one" ]; then cat "fails/$one" >&2; exit 254; fi
  if [ -f "answers/$one" ]; then
    if [ -f "payloads/$one" ]; then cat "payloads/$one" > "$previous"; fi
    set=
    if [ -f change-set ]; then read -r set < change-set; fi
    exec sed "s/CHANGE_SET/$set/g" "answers/$one"
  fi
done
