{{/* A Deployment of a component. Takes (dict "root" $ "name" "stage" "values" .Values.loader.stage "args" list). */}}
{{- define "headrace.deployment" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $name := printf "%s-%s" (include "headrace.fullname" $root) .name }}
{{- $labelled := dict "root" $root "component" .name }}
{{- $needs := splitList " " (include "headrace.needs" (dict "root" $root "name" .name)) }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
spec:
  {{- if not $values.autoscaling.by }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 1800
  strategy:
    {{- toYaml $values.strategy | nindent 4 }}
  selector:
    matchLabels:
      {{- include "headrace.selector" $labelled | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "headrace.labels" $labelled | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        headrace.io/settings: {{ include "headrace.settings" $root | sha256sum | trunc 16 }}
        {{- with .checksum }}
        headrace.io/files: {{ . }}
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: {{ has "kubernetesApi" $needs }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with include "headrace.pullSecrets" $root }}{{ . | trim | nindent 6 }}{{ end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- include "headrace.podSecurity" $root | nindent 8 }}
      topologySpreadConstraints:
        {{- if $values.topologySpreadConstraints }}
        {{- toYaml $values.topologySpreadConstraints | nindent 8 }}
        {{- else }}
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "headrace.selector" $labelled | nindent 14 }}
        {{- end }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "headrace.image" (dict "root" $root "image" $values.image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          {{- with .args }}
          args:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: http
              containerPort: 8080
          envFrom:
            - configMapRef:
                name: {{ include "headrace.fullname" $root }}-settings
            {{- with $values.envFrom }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            - name: HEADRACE_INSTANCE
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- $own := dict "HEADRACE_HTTP_HOST" "0.0.0.0" "HEADRACE_HTTP_PORT" "8080" "HEADRACE_SHUTDOWN_GRACE_S" (sub (sub $values.terminationGracePeriodSeconds $values.preStopSeconds) 5 | toString) }}
            {{- range $variable, $value := mergeOverwrite $own (.env | default dict) $values.env }}
            - name: {{ $variable }}
              value: {{ $value | quote }}
            {{- end }}
            {{- with include "headrace.secretEnv" (dict "root" $root "needs" $needs) }}{{ . | trim | nindent 12 }}{{ end }}
            {{- with .moreEnv }}
            {{- . | nindent 12 }}
            {{- end }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "headrace.containerSecurity" $root | nindent 12 }}
          {{- if $values.preStopSeconds }}
          lifecycle:
            preStop:
              exec:
                command: ["sleep", {{ $values.preStopSeconds | quote }}]
          {{- end }}
          startupProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: {{ $values.probes.startupSeconds }}
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: {{ max 1 (div $values.probes.livenessSeconds 6) }}
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: {{ max 1 (div $values.probes.readinessSeconds 2) }}
            timeoutSeconds: 5
            failureThreshold: 2
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- with include "headrace.fileMounts" (dict "root" $root "needs" $needs "name" .name) }}{{ . | trim | nindent 12 }}{{ end }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- with include "headrace.fileVolumes" (dict "root" $root "needs" $needs "name" .name) }}{{ . | trim | nindent 8 }}{{ end }}
{{- end }}

{{/* Files of a pod: certificates, mappings, write keys. */}}
{{- define "headrace.fileMounts" -}}
{{- if and (has "kafka" .needs) .root.Values.kafka.caConfigMap }}
- name: kafka-ca
  mountPath: /etc/headrace/kafka
  readOnly: true
{{- end }}
{{- if and (has .name (list "ingest" "dedup")) .root.Values.mappings.existingConfigMap }}
- name: mappings
  mountPath: /etc/headrace/mappings
  readOnly: true
{{- end }}
{{- if eq .name "ingest" }}
- name: write-keys
  mountPath: /etc/headrace/keys
  readOnly: true
{{- end }}
{{- if and (eq .name "api") .root.Values.api.runs.tokensSecret }}
- name: run-tokens
  mountPath: /etc/headrace/tokens
  readOnly: true
{{- end }}
{{- if eq .name "operator" }}
- name: runs
  mountPath: /etc/headrace/runs
  readOnly: true
{{- end }}
{{- end }}

{{- define "headrace.fileVolumes" -}}
{{- if and (has "kafka" .needs) .root.Values.kafka.caConfigMap }}
- name: kafka-ca
  configMap:
    name: {{ .root.Values.kafka.caConfigMap }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- if and (has .name (list "ingest" "dedup")) .root.Values.mappings.existingConfigMap }}
- name: mappings
  configMap:
    name: {{ .root.Values.mappings.existingConfigMap }}
{{- end }}
{{- if eq .name "ingest" }}
- name: write-keys
  secret:
    secretName: {{ include "headrace.writeKeys.secret" .root }}
    items:
      - {key: {{ .root.Values.writeKeys.key }}, path: write_keys.yaml}
      {{- with .root.Values.writeKeys.pepperKey }}
      - {key: {{ . }}, path: pepper}
      {{- end }}
{{- end }}
{{- if and (eq .name "api") .root.Values.api.runs.tokensSecret }}
- name: run-tokens
  secret:
    secretName: {{ .root.Values.api.runs.tokensSecret }}
    items: [{key: {{ .root.Values.api.runs.tokensKey }}, path: tokens.yaml}]
{{- end }}
{{- if eq .name "operator" }}
- name: runs
  configMap:
    name: {{ include "headrace.fullname" .root }}-runs
{{- end }}
{{- end }}

{{/* Account, Service, budget and scaling of a component. */}}
{{- define "headrace.around" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $name := printf "%s-%s" (include "headrace.fullname" $root) .name }}
{{- $labelled := dict "root" $root "component" .name }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
  {{- with $values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
  {{- with $values.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $values.service.type }}
  selector:
    {{- include "headrace.selector" $labelled | nindent 4 }}
  ports:
    - name: http
      port: {{ $values.service.port }}
      targetPort: http
{{- if $values.pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
spec:
  maxUnavailable: {{ $values.pdb.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "headrace.selector" $labelled | nindent 6 }}
{{- end }}
{{- if eq $values.autoscaling.by "hpa" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  minReplicas: {{ $values.autoscaling.minReplicas }}
  maxReplicas: {{ $values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $values.autoscaling.cpuPercent }}}
{{- else if eq $values.autoscaling.by "keda" }}
{{- if gt (int $values.autoscaling.maxReplicas) (int $root.Values.partitions) }}
{{- fail (printf "%s: autoscaling.maxReplicas is above partitions (%v); a consumer without a partition does nothing" .name $root.Values.partitions) }}
{{- end }}
{{- $kinds := dict "dedup" "headrace_dedup_lag_records" "stage" "headrace_stage_lag_records" "archive" "headrace_stage_lag_records" }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $name }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ $name }}}
  minReplicaCount: {{ $values.autoscaling.minReplicas }}
  maxReplicaCount: {{ $values.autoscaling.maxReplicas }}
  cooldownPeriod: 600
  triggers:
    - type: prometheus
      metadata:
        serverAddress: {{ required (printf "%s: autoscaling.prometheusUrl is needed to scale by lag" .name) $values.autoscaling.prometheusUrl | quote }}
        query: sum({{ get $kinds .name }}{namespace="{{ $root.Release.Namespace }}",component="{{ .name }}"})
        threshold: {{ int $values.autoscaling.lagRecords | toString | quote }}
{{- end }}
{{- end }}
