#!/usr/bin/env bash
# Sees to it that Java and Kafka's jars are there, and prints the folder of the jars: for who starts a Kafka of its own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

check_java
resolve_jars
echo "$jars"
