{{/* What containers with the service's image have in common. */}}

{{/* Its env, from Secrets and the pod. */}}
{{- define "gatehouse.appEnv" -}}
{{- $secret := include "gatehouse.secret" (list . "service") -}}
{{ include "gatehouse.fromField" (dict "name" "POD_NAME" "path" "metadata.name") }}
{{ include "gatehouse.fromSecret" (dict "name" "DB_PASSWORD" "secret" $secret "key" "db-password") }}
{{ include "gatehouse.fromSecret" (dict "name" "REDIS_PASSWORD" "secret" $secret "key" "redis-password" "isOptional" (eq .Values.redis.mode "external")) }}
{{- if .Values.redis.external.sentinels }}
{{ include "gatehouse.fromSecret" (dict "name" "REDIS_SENTINEL_PASSWORD" "secret" $secret "key" "redis-sentinel-password" "isOptional" true) }}
{{- end }}
{{ include "gatehouse.fromSecret" (dict "name" "KEYCLOAK_SERVICE_CLIENT_SECRET" "secret" $secret "key" "keycloak-service-client-secret" "isOptional" (not .Values.keycloak.realm.create)) }}
{{- if .Values.operators.rbac.enabled }}
{{ include "gatehouse.fromSecret" (dict "name" "RBAC_SIGNING_KEY" "secret" $secret "key" "rbac-signing-key") }}
{{- end }}
{{- end -}}

{{/* The env of who changes the schema; CloudNativePG makes the password of
     the database's owner by itself. */}}
{{- define "gatehouse.ownerEnv" -}}
- name: DB_USER
  value: {{ include "gatehouse.owner" . | quote }}
{{- if eq .Values.postgres.mode "operator" }}
{{ include "gatehouse.fromSecret" (dict "name" "DB_PASSWORD" "secret" (include "gatehouse.named" (list . "postgres-app")) "key" "password") }}
{{- else }}
{{ include "gatehouse.fromSecret" (dict "name" "DB_PASSWORD" "secret" (include "gatehouse.secret" (list . "migrations")) "key" "db-password") }}
{{- end }}
{{- end -}}

{{- define "gatehouse.envFromSettings" -}}
- configMapRef:
    name: {{ include "gatehouse.named" (list . "settings") }}
{{- end -}}

{{/* A container that changes the schema. */}}
{{- define "gatehouse.migrateContainer" -}}
name: migrate
{{ include "gatehouse.container" (dict "root" . "image" .Values.app.image "pods" .Values.migrations) }}
command: [python, -m, app, migrate, --wait]
envFrom: {{- include "gatehouse.envFromSettings" . | nindent 2 }}
env:
  {{- include "gatehouse.ownerEnv" . | nindent 2 }}
  {{- with .Values.migrations.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- include "gatehouse.trustMount" . | nindent 2 }}
  {{- with .Values.migrations.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* How many pods there are, for as long as nobody has scaled them: not to say
     it would make it one. Who has scaled them owns the number from then on,
     and an old one would be in the way of a rollback. What Helm 3 does not say
     any more it takes away, whoever else owns it. */}}
{{- define "gatehouse.scaledReplicas" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "gatehouse.fullname" .) -}}
{{- $isOurs := semverCompare "<4.0.0-0" .Capabilities.HelmVersion.Version -}}
{{- $isScaled := false -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- if eq (dig "subresource" "" .) "scale" }}{{ $isScaled = true }}{{ end -}}
{{- end -}}
{{- if or $isOurs (not $isScaled) -}}
{{ dig "spec" "replicas" "" $live }}
{{- end -}}
{{- end -}}
