#!/bin/bash
# preStop hook that Spark gives executors when spark.decommission.enabled=true: tells the executor to move its blocks
# (SIGPWR) and waits until it has ended. Finds it by /proc, so that the image needs no procps.
set -u

for entry in /proc/[0-9]*; do
  if [ "$(readlink "$entry/exe" 2>/dev/null)" = "$(readlink -f "$JAVA_HOME/bin/java")" ]; then
    pid=${entry#/proc/}
    kill -PWR "$pid" || exit 0
    exec timeout "${SPARK_DECOMMISSION_WAIT_S:-55}" tail "--pid=$pid" -f /dev/null
  fi
done
