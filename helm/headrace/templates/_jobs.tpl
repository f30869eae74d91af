{{/* Before an installation or upgrade; with dev the servers come with the installation itself, so jobs run beside it. */}}
{{- define "headrace.hook" -}}
{{- if not .root.Values.dev.enabled -}}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
{{- end }}

{{/* A Job of one container. Takes (dict "root" $ "name" "topics" "image" dict "command" list "env" text "weight" "-5"). */}}
{{- define "headrace.job" -}}
{{- $root := .root }}
{{- $labelled := dict "root" $root "component" .name }}
{{- $needs := splitList " " (include "headrace.needs" (dict "root" $root "name" .name)) }}
apiVersion: batch/v1
kind: Job
metadata:
  {{- /* A Job's template cannot change, so beside an installation each revision has its own. */}}
  name: {{ include "headrace.fullname" $root }}-{{ .name }}{{ if $root.Values.dev.enabled }}-{{ $root.Release.Revision }}{{ end }}
  labels:
    {{- include "headrace.labels" $labelled | nindent 4 }}
  {{- with include "headrace.hook" . }}{{ . | trim | nindent 2 }}{{ end }}
spec:
  backoffLimit: {{ $root.Values.jobs.backoffLimit }}
  activeDeadlineSeconds: {{ $root.Values.jobs.activeDeadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "headrace.labels" $labelled | nindent 8 }}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with include "headrace.pullSecrets" $root }}{{ . | trim | nindent 6 }}{{ end }}
      securityContext:
        {{- include "headrace.podSecurity" $root | nindent 8 }}
      containers:
        - name: {{ .name }}
          image: {{ include "headrace.image" (dict "root" $root "image" .image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            {{- toYaml .args | nindent 12 }}
          env:
            {{- /* The ConfigMap of settings does not exist before the first installation. */}}
            {{- range $variable, $value := include "headrace.settings" $root | fromYaml }}
            - name: {{ $variable }}
              value: {{ $value | quote }}
            {{- end }}
            - name: HOME
              value: /tmp
            {{- with include "headrace.secretEnv" (dict "root" $root "needs" $needs) }}{{ . | trim | nindent 12 }}{{ end }}
          resources:
            {{- toYaml $root.Values.jobs.resources | nindent 12 }}
          securityContext:
            {{- include "headrace.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- with include "headrace.fileMounts" (dict "root" $root "needs" $needs "name" .name) }}{{ . | trim | nindent 12 }}{{ end }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- with include "headrace.fileVolumes" (dict "root" $root "needs" $needs "name" .name) }}{{ . | trim | nindent 8 }}{{ end }}
{{- end }}

{{/* The Secret with a write key for the test; empty where there is none. */}}
{{- define "headrace.testSecret" -}}
{{- if .Values.tests.writeKeySecret }}{{ .Values.tests.writeKeySecret }}{{ else if .Values.dev.enabled }}{{ include "headrace.devSecret" . }}{{ end }}
{{- end }}
