#!/bin/bash
# Starts what a pod of a run needs of Spark; both roles come from this one image, by one digest.
#   driver ARGS...   spark-submit in client mode, bound to the pod's address (SPARK_DRIVER_BIND_ADDRESS)
#   executor         the executor's backend, told by SPARK_EXECUTOR_*, which the driver puts into the pod
#   anything else    is run as it is
set -eu

case "${1-}" in
  driver)
    shift
    set -- "$SPARK_HOME/bin/spark-submit" \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
      --deploy-mode client "$@"
    ;;
  executor)
    options=()
    for name in "${!SPARK_JAVA_OPT_@}"; do options+=("${!name}"); done
    set -- "$JAVA_HOME/bin/java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
      -cp "$SPARK_CONF_DIR:${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
      --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
      --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
esac

# An init collects orphans and passes signals on; without one Java is process 1, which works too.
if command -v tini >/dev/null; then
  exec tini -s -- "$@"
fi
exec "$@"
