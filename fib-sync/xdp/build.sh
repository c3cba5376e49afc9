#!/bin/sh
# Builds the committed objects; any clang from 14 on. The daemon embeds anyhop.bpf.o, benches and tests probe.bpf.o.
set -eu
cd "$(dirname "$0")"
OUT=${1:-.}
for name in anyhop probe; do
	clang -O2 -g -Wall -Werror -target bpfel -mcpu=v3 -ffile-prefix-map="$PWD=." -c "$name.bpf.c" -o "$OUT/$name.bpf.o"
	llvm-strip -g "$OUT/$name.bpf.o" 2>/dev/null || llvm-strip-14 -g "$OUT/$name.bpf.o"
done
