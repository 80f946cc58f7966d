#!/usr/bin/env bash
# Ends what up.sh started and removes its data; the logs stay under .run/ until the next start. A second call does nothing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ -f "$env_file" ]] && grep -q '^INFRA_KIND=docker$' "$env_file"; then
  docker compose --file "$repository/infra/compose.yaml" down --volumes
fi
# A stop takes Kafka some seconds: it hands its partitions over and closes its logs.
if pid=$(kafka_pid); then stop_process Kafka "$pid" 30; fi
if pid=$(redis_pid); then stop_process Redis "$pid" 10; fi
rm -rf "$run_folder/kafka" "$run_folder/redis" "$run_folder/kafka.pid" "$run_folder/redis.pid" "$env_file"
say "Kafka and Redis are down."
