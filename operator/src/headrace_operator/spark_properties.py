"""What Spark is told of an attempt: its properties file. Pure.

It is what `spark-submit` in cluster mode would tell the driver (a recorded one stands in tests/data/spark_submit), and what
spares the driver a Service, a ConfigMap and rights for them.
"""

from __future__ import annotations

from headrace_operator.sizes import Installation, Resources

__all__ = ["BLOCKS_PORT", "CONF_DIR", "DRIVER_PORT", "MASTER", "spark_properties"]

CONF_DIR = "/opt/spark/conf"
MASTER = "https://kubernetes.default.svc"
DRIVER_PORT, BLOCKS_PORT = 7078, 7079


def spark_properties(
    *, name: str, namespace: str, app: str, driver: str, resources: Resources, installation: Installation
) -> dict[str, str]:
    """Spark's configuration. Every value is a constant, a number, the image, or a name that Kubernetes has checked.

    ``app`` is the attempt's application id, ``driver`` the name of its pod.
    """
    return {
        "spark.master": f"k8s://{MASTER}",
        "spark.kubernetes.driver.master": MASTER,
        "spark.submit.deployMode": "cluster",
        "spark.kubernetes.submitInDriver": "true",
        "spark.kubernetes.namespace": namespace,
        "spark.kubernetes.driver.pod.name": driver,
        "spark.app.id": app,
        "spark.app.name": name,
        "spark.kubernetes.executor.podNamePrefix": app,
        "spark.driver.port": str(DRIVER_PORT),
        "spark.driver.blockManager.port": str(BLOCKS_PORT),
        "spark.kubernetes.resource.type": "python",
        "spark.kubernetes.memoryOverheadFactor": str(resources.memory_overhead_percent / 100),
        "spark.kubernetes.container.image": installation.image,
        "spark.kubernetes.container.image.pullPolicy": installation.image_pull_policy,
        "spark.kubernetes.executor.podTemplateFile": f"{CONF_DIR}/executor-template.yaml",
        # The driver is reached by its address: no Service. Its executors need no ConfigMap: no such right.
        "spark.kubernetes.executor.useDriverPodIP": "true",
        "spark.kubernetes.executor.disableConfigMap": "true",
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
        "spark.kubernetes.driver.reusePersistentVolumeClaim": "false",
        "spark.authenticate": "true",
        # Without it the keys of the encrypted scratch files would cross the network in the clear.
        "spark.network.crypto.enabled": "true",
        "spark.io.encryption.enabled": "true",
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        # The default of 30 s is as long as a usual grace period: an executor would never get its blocks moved.
        "spark.storage.decommission.replicationReattemptInterval": "5s",
        "spark.executor.maxNumFailures": str(max(3, 2 * resources.executors)),
        "spark.driver.memory": f"{resources.driver_memory_mib}m",
        "spark.executor.instances": str(resources.executors),
        "spark.executor.cores": str(resources.executor_cores),
        "spark.executor.memory": f"{resources.executor_memory_mib}m",
        "spark.kubernetes.executor.request.cores": f"{resources.executor_cpu_millis}m",
        "spark.kubernetes.executor.limit.cores": str(resources.executor_cores),
    }
