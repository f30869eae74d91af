{{/* What the operator is told of runs: the file that `headrace_operator.sizes.Installation` reads. */}}
{{- define "headrace.operatorEnv" -}}
HEADRACE_RUNS_FILE: /etc/headrace/runs/runs.yaml
HEADRACE_LEASE_NAME: {{ include "headrace.fullname" . }}-operator
{{- end }}

{{- define "headrace.runsConfig" -}}
runs.yaml: |
  {{- include "headrace.runsFile" . | fromYaml | toYaml | nindent 2 }}
{{- end }}

{{- define "headrace.runsFile" -}}
{{- $full := include "headrace.fullname" . }}
image: {{ include "headrace.image" (dict "root" . "image" .Values.runs.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
imagePullSecrets: {{ toJson .Values.image.pullSecrets }}
{{- range $role, $place := dict "driver" .Values.runs.driver "executor" .Values.runs.executor }}
{{ $role }}:
  serviceAccount: {{ $full }}-{{ $role }}
  nodeSelector: {{ toJson $place.nodeSelector }}
  tolerations: {{ toJson $place.tolerations }}
  priorityClassName: {{ $place.priorityClassName | quote }}
{{- end }}
settings:
  configMaps: [{{ $full }}-settings]
  secrets: {{ compact (list (ternary "" .Values.kafka.existingSecret .Values.dev.enabled) (include "headrace.s3.secret" .) (include "headrace.warehouse.secret" .)) | uniq | toJson }}
  mounts:
    {{- $mounts := list }}
    {{- with .Values.kafka.caConfigMap }}{{ $mounts = append $mounts (dict "configMap" . "path" "/etc/headrace/kafka") }}{{ end }}
    {{- with .Values.mappings.existingConfigMap }}{{ $mounts = append $mounts (dict "configMap" . "path" "/etc/headrace/mappings") }}{{ end }}
    {{- toYaml $mounts | nindent 4 }}
sizes: {{ toJson .Values.runs.sizes }}
{{- end }}
