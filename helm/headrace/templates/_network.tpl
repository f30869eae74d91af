{{/* What a component's pods may be reached by and reach. Takes (dict "root" $ "name" "stage" "ingressFrom" list "egress" list "serves" bool). */}}
{{- define "headrace.networkPolicy" -}}
{{- $root := .root }}
{{- $policy := $root.Values.networkPolicy }}
{{- $needs := splitList " " (include "headrace.needs" (dict "root" $root "name" .name)) }}
{{- $full := include "headrace.fullname" $root }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $full }}-{{ .name }}
  labels:
    {{- include "headrace.labels" (dict "root" $root "component" .name) | nindent 4 }}
  {{- if has .name (list "topics" "migrate") }}
  {{- with include "headrace.hook" (dict "root" $root "weight" "-10") }}{{ . | trim | nindent 2 }}{{ end }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- if eq .name "runs" }}
      {{- include "headrace.runsSelector" $root | nindent 6 }}
      {{- else }}
      {{- include "headrace.selector" (dict "root" $root "component" .name) | nindent 6 }}
      {{- end }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if .serves }}
    {{- with $policy.metricsFrom }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports: [{port: http}]
    {{- end }}
    {{- with .ingressFrom }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports: [{port: http}]
    {{- end }}
    {{- if has .name (list "ingest" "api") }}
    - from:
        - podSelector:
            matchLabels:
              {{- include "headrace.selector" (dict "root" $root "component" "test") | nindent 14 }}
      ports: [{port: http}]
    {{- end }}
    {{- end }}
    {{- if eq .name "runs" }}
    {{- /* Drivers and executors of runs speak to each other on ports that Spark chooses. */}}
    - from:
        - podSelector:
            matchLabels:
              {{- include "headrace.runsSelector" $root | nindent 14 }}
    {{- end }}
  egress:
    - to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $policy.dnsNamespace }}
      ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    {{- range $server := list "kafka" "s3" "warehouse" "kubernetesApi" }}
    {{- if has $server $needs }}
    {{- $dev := get (dict "kafka" "kafka" "s3" "s3" "warehouse" "postgres") $server }}
    {{- if and $dev $root.Values.dev.enabled }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "headrace.selector" (dict "root" $root "component" (printf "dev-%s" $dev)) | nindent 14 }}
      ports: [{port: {{ get (dict "kafka" 9092 "s3" 8333 "postgres" 5432) $dev }}}]
    {{- else }}
    {{- $peers := get $policy $server }}
    - to:
        {{- toYaml $peers.to | nindent 8 }}
      ports: [{{ range $i, $port := $peers.ports }}{{ if $i }}, {{ end }}{port: {{ $port }}}{{ end }}]
    {{- end }}
    {{- end }}
    {{- end }}
    {{- if and $root.Values.otlpEndpoint (not (has .name (list "topics" "migrate" "test"))) }}
    - to:
        {{- toYaml $policy.otlp.to | nindent 8 }}
      ports: [{{ range $i, $port := $policy.otlp.ports }}{{ if $i }}, {{ end }}{port: {{ $port }}}{{ end }}]
    {{- end }}
    {{- if eq .name "test" }}
    - to:
        {{- range list "ingest" "api" }}
        - podSelector:
            matchLabels:
              {{- include "headrace.selector" (dict "root" $root "component" .) | nindent 14 }}
        {{- end }}
      ports: [{port: http}]
    {{- end }}
    {{- if eq .name "runs" }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "headrace.runsSelector" $root | nindent 14 }}
    {{- end }}
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
