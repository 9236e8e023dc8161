{{/* What everything is called, and which image it is. */}}

{{- define "gatehouse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for the longest suffix. */}}
{{- define "gatehouse.fullname" -}}
{{- $name := include "gatehouse.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that never change. Give root and component. */}}
{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: {{ include "gatehouse.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of an object. Give root, component, and more of them. Those
     that select pods are ours, whatever else is given; of others what is
     given wins. */}}
{{- define "gatehouse.labels" -}}
{{- $selector := include "gatehouse.selector" . | fromYaml -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" -}}
{{- $ours := dict "app.kubernetes.io/part-of" "gatehouse" "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/managed-by" .root.Release.Service "helm.sh/chart" $chart -}}
{{- merge $selector (default (dict) .more) .root.Values.commonLabels $ours | toYaml -}}
{{- end -}}

{{/* Name and labels. Give root, component, and suffix if it is another. */}}
{{- define "gatehouse.metadata" -}}
name: {{ include "gatehouse.named" (list .root (default .component .suffix)) }}
namespace: {{ .root.Release.Namespace | quote }}
labels: {{- include "gatehouse.labels" . | nindent 2 }}
{{- end -}}

{{/* A name of this release. Give root and suffix; the service has none. */}}
{{- define "gatehouse.named" -}}
{{- $fullname := include "gatehouse.fullname" (index . 0) -}}
{{- $suffix := index . 1 -}}
{{- if eq $suffix "app" }}{{ $fullname }}{{ else }}{{ $fullname }}-{{ $suffix }}{{ end -}}
{{- end -}}

{{/* The address of a Service within the cluster. Give root and suffix. */}}
{{- define "gatehouse.address" -}}
{{ include "gatehouse.named" . }}.{{ (index . 0).Release.Namespace }}.svc
{{- end -}}

{{/* The address of a PostgreSQL of this release, or who runs it for us. */}}
{{- define "gatehouse.postgresHost" -}}
{{ include "gatehouse.address" (list . (ternary "postgres-rw" "postgres" (eq .Values.postgres.mode "operator"))) }}
{{- end -}}

{{/* An image's full name. Give root and image. */}}
{{- define "gatehouse.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry -}}
{{- $parts := splitList "/" $repository -}}
{{- $first := first $parts -}}
{{- if or (contains "." $first) (contains ":" $first) (eq $first "localhost") -}}
{{- $parts = rest $parts -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (join "/" $parts) -}}
{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* Where the service, and who calls it, finds Keycloak. */}}
{{- define "gatehouse.keycloakUrl" -}}
{{- if eq .Values.keycloak.mode "external" -}}
{{ trimSuffix "/" .Values.keycloak.external.url }}
{{- else -}}
https://{{ include "gatehouse.keycloakService" . }}.{{ .Release.Namespace }}.svc:8443
{{- end -}}
{{- end -}}

{{/* The Service of a Keycloak of this release; its own operator adds a word. */}}
{{- define "gatehouse.keycloakService" -}}
{{ include "gatehouse.named" (list . (ternary "keycloak-service" "keycloak" (eq .Values.keycloak.mode "operator"))) }}
{{- end -}}

{{/* The origin that tokens name. */}}
{{- define "gatehouse.keycloakOrigin" -}}
{{- default (include "gatehouse.keycloakUrl" .) .Values.keycloak.hostname | trimSuffix "/" -}}
{{- end -}}

{{/* The number of replicas, of whoever may be scaled. */}}
{{- define "gatehouse.leastReplicas" -}}
{{- if eq .Values.autoscaling.mode "none" }}{{ .Values.app.replicas }}{{ else }}{{ .Values.autoscaling.minReplicas }}{{ end -}}
{{- end -}}

{{/* How long a pod of the service may take to end, in seconds. */}}
{{- define "gatehouse.graceSeconds" -}}
{{- $app := .Values.app -}}
{{- $needed := add $app.preStopSeconds $app.drainWaitSeconds $app.drainSeconds 20 | int -}}
{{- $given := $app.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{ $needed }}
{{- else if lt (int $given) $needed -}}
{{- fail (printf "app.terminationGracePeriodSeconds is %d, but preStopSeconds, drainWaitSeconds and drainSeconds need %d" (int $given) $needed) -}}
{{- else -}}
{{ int $given }}
{{- end -}}
{{- end -}}
