{{/* Names, labels and pieces that every object shares. A component is named by its path in the values: "ingest", "loader.stage". */}}

{{- define "headrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "headrace.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "headrace.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "headrace.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change: selectors are made of them. Takes (dict "root" $ "component" "stage"). */}}
{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ include "headrace.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/part-of: headrace
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The components that are installed: name -> values. */}}
{{- define "headrace.components" -}}
{{- $all := dict "ingest" .Values.ingest "dedup" .Values.dedup "stage" .Values.loader.stage "load" .Values.loader.load "archive" .Values.loader.archive "api" .Values.api "operator" .Values.operator }}
{{- $on := dict }}
{{- range $name, $values := $all }}{{ if $values.enabled }}{{ $_ := set $on $name $values }}{{ end }}{{ end }}
{{- toYaml $on }}
{{- end }}

{{- define "headrace.image" -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- printf "%s%s" .root.Values.image.prefix .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}

{{- define "headrace.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The restricted Pod Security standard, and a root file system that nobody writes to. */}}
{{- define "headrace.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.runAsUser }}
runAsGroup: {{ .Values.podSecurity.runAsGroup }}
fsGroup: {{ .Values.podSecurity.runAsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "headrace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where the servers are: the given ones, or those of dev. */}}
{{- define "headrace.kafka.bootstrap" -}}
{{- if .Values.dev.enabled }}{{ include "headrace.fullname" . }}-dev-kafka:9092{{ else }}{{ required "kafka.bootstrap: name the brokers (host:port,host:port), or set dev.enabled" .Values.kafka.bootstrap }}{{ end }}
{{- end }}

{{- define "headrace.s3.bucket" -}}
{{- if .Values.dev.enabled }}lake{{ else }}{{ required "s3.bucket: name the bucket, or set dev.enabled" .Values.s3.bucket }}{{ end }}
{{- end }}

{{- define "headrace.s3.endpoint" -}}
{{- if .Values.dev.enabled }}http://{{ include "headrace.fullname" . }}-dev-s3:8333{{ else }}{{ .Values.s3.endpoint }}{{ end }}
{{- end }}

{{- define "headrace.devSecret" -}}
{{ include "headrace.fullname" . }}-dev
{{- end }}

{{- define "headrace.s3.secret" -}}
{{- if .Values.dev.enabled }}{{ include "headrace.devSecret" . }}-settings{{ else }}{{ .Values.s3.existingSecret }}{{ end }}
{{- end }}

{{- define "headrace.warehouse.secret" -}}
{{- if .Values.dev.enabled }}{{ include "headrace.devSecret" . }}-settings{{ else }}{{ required "warehouse.existingSecret: name a Secret with the key HEADRACE_WAREHOUSE_DSN, or set dev.enabled" .Values.warehouse.existingSecret }}{{ end }}
{{- end }}

{{- define "headrace.writeKeys.secret" -}}
{{- if .Values.dev.enabled }}{{ include "headrace.devSecret" . }}{{ else }}{{ required "writeKeys.existingSecret: name a Secret with the file of write keys, or set dev.enabled" .Values.writeKeys.existingSecret }}{{ end }}
{{- end }}

{{/* Settings without secrets, as HEADRACE_ variables. */}}
{{- define "headrace.settings" -}}
HEADRACE_LOG_LEVEL: {{ .Values.logLevel | quote }}
HEADRACE_PARTITIONS: {{ .Values.partitions | quote }}
HEADRACE_KAFKA_BOOTSTRAP: {{ include "headrace.kafka.bootstrap" . | quote }}
HEADRACE_KAFKA_SECURITY: {{ ternary "PLAINTEXT" .Values.kafka.security .Values.dev.enabled | quote }}
HEADRACE_KAFKA_SASL_MECHANISM: {{ .Values.kafka.saslMechanism | quote }}
{{- if .Values.kafka.caConfigMap }}
HEADRACE_KAFKA_CA_FILE: /etc/headrace/kafka/ca.crt
{{- end }}
HEADRACE_S3_BUCKET: {{ include "headrace.s3.bucket" . | quote }}
HEADRACE_S3_REGION: {{ .Values.s3.region | quote }}
{{- with include "headrace.s3.endpoint" . }}
HEADRACE_S3_ENDPOINT: {{ . | quote }}
{{- end }}
{{- if .Values.mappings.existingConfigMap }}
HEADRACE_MAPPINGS_DIR: /etc/headrace/mappings
{{- end }}
{{- with .Values.otlpEndpoint }}
HEADRACE_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Secret settings of a pod. Takes (dict "root" $ "needs" (list "kafka" "s3" "warehouse")). */}}
{{- define "headrace.secretEnv" -}}
{{- $root := .root }}
{{- if and (has "kafka" .needs) $root.Values.kafka.existingSecret (not $root.Values.dev.enabled) }}
{{- range list "HEADRACE_KAFKA_USERNAME" "HEADRACE_KAFKA_PASSWORD" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $root.Values.kafka.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- $s3 := include "headrace.s3.secret" $root }}
{{- if and (has "s3" .needs) $s3 }}
{{- range list "HEADRACE_S3_ACCESS_KEY_ID" "HEADRACE_S3_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $s3 }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- if has "warehouse" .needs }}
- name: HEADRACE_WAREHOUSE_DSN
  valueFrom: {secretKeyRef: {name: {{ include "headrace.warehouse.secret" $root }}, key: HEADRACE_WAREHOUSE_DSN}}
{{- end }}
{{- end }}

{{/* Which servers a component speaks to. Takes (dict "root" $ "name" "stage"). */}}
{{- define "headrace.needs" -}}
{{- $needs := dict "ingest" "kafka" "dedup" "kafka s3" "stage" "kafka s3" "archive" "kafka s3" "load" "kafka s3 warehouse" "api" "kafka s3 warehouse" "operator" "kubernetesApi" "topics" "kafka" "migrate" "warehouse" "test" "" "runs" "kafka s3 warehouse kubernetesApi" }}
{{- get $needs .name }}{{ if and (eq .name "api") .root.Values.api.runs.tokensSecret }} kubernetesApi{{ end }}
{{- end }}

{{- define "headrace.ingestEnv" -}}
HEADRACE_WRITE_KEYS_FILE: /etc/headrace/keys/write_keys.yaml
{{- if .Values.writeKeys.pepperKey }}
HEADRACE_WRITE_KEYS_PEPPER_FILE: /etc/headrace/keys/pepper
{{- end }}
{{- end }}

{{/* Pods of runs: the operator gives them this label. */}}
{{- define "headrace.runsSelector" -}}
app.kubernetes.io/managed-by: headrace-operator
{{- end }}

{{- define "headrace.apiEnv" -}}
{{- if .Values.api.runs.tokensSecret -}}
HEADRACE_RUN_TOKENS_FILE: /etc/headrace/tokens/tokens.yaml
{{- end }}
{{- end }}
