{{/* The settings of the service that the chart makes, as YAML. */}}
{{- define "gatehouse.settings" -}}
{{- include "gatehouse.databaseSettings" . }}
{{- if eq .Values.redis.mode "bundled" }}
REDIS_IP: {{ include "gatehouse.address" (list . "redis") | quote }}
REDIS_PORT: "6379"
REDIS_USERNAME: service
MAIN_REDIS_DB: "0"
{{- else }}
{{- with .Values.redis.external }}
REDIS_IP: {{ .host | quote }}
REDIS_PORT: {{ .port | quote }}
MAIN_REDIS_DB: {{ .database | quote }}
{{- if not (kindIs "invalid" .authDatabase) }}
AUTH_REDIS_DB: {{ .authDatabase | quote }}
{{- end }}
REDIS_TLS_ENABLED: {{ .tls | quote }}
{{- if .username }}
REDIS_USERNAME: {{ .username | quote }}
{{- end }}
{{- if .sentinels }}
REDIS_SENTINELS: {{ join "," .sentinels | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with include "gatehouse.trusted" (list . "redis.crt") }}
REDIS_CA_FILE: {{ . | quote }}
{{- end }}
KEYCLOAK_BASE_URL: {{ include "gatehouse.keycloakUrl" . | quote }}
KEYCLOAK_ISSUER: {{ printf "%s/realms/%s" (include "gatehouse.keycloakOrigin" .) .Values.keycloak.realm.name | quote }}
KEYCLOAK_REALM: {{ .Values.keycloak.realm.name | quote }}
KEYCLOAK_CLIENT_ID: {{ .Values.keycloak.realm.clientId | quote }}
{{- with include "gatehouse.trusted" (list . "keycloak.crt") }}
KEYCLOAK_CA_FILE: {{ . | quote }}
{{- end }}
{{- if .Values.operators.rbac.enabled }}
RBAC_COMPILED_PATH: /etc/gatehouse/rbac/rbac.json
{{- end }}
AUTH_LOGIN_ENABLED: {{ .Values.app.loginEnabled | quote }}
DOCS_ENABLED: {{ .Values.app.docsEnabled | quote }}
DRAIN_WAIT_SECONDS: {{ .Values.app.drainWaitSeconds | quote }}
DRAIN_SECONDS: {{ .Values.app.drainSeconds | quote }}
{{- end -}}

{{/* Where the database is, and who reads and writes there. */}}
{{- define "gatehouse.databaseSettings" -}}
{{- if eq .Values.postgres.mode "external" }}
{{- with .Values.postgres.external }}
DB_HOST: {{ .host | quote }}
DB_PORT: {{ .port | quote }}
DB_NAME: {{ .database | quote }}
DB_USER: {{ .username | quote }}
DB_SSL_MODE: {{ .sslMode | quote }}
{{- end }}
{{- else }}
DB_HOST: {{ include "gatehouse.postgresHost" . | quote }}
DB_PORT: "5432"
DB_NAME: gatehouse
DB_USER: gatehouse
{{- if eq .Values.postgres.mode "operator" }}
DB_SSL_MODE: verify-full
{{- end }}
{{- end }}
{{- with include "gatehouse.trusted" (list . "postgres.crt") }}
DB_SSL_CA_FILE: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Who changes the schema. */}}
{{- define "gatehouse.owner" -}}
{{- if eq .Values.postgres.mode "external" -}}
{{ default .Values.postgres.external.username .Values.postgres.external.owner }}
{{- else -}}
gatehouse_owner
{{- end -}}
{{- end -}}

{{/* What every pod with the service's image is told; app.settings wins over
     these defaults, and over nothing else. */}}
{{- define "gatehouse.allSettings" -}}
{{- $defaults := dict "ENVIRONMENT" .Release.Namespace "WS_QUERY_TOKEN_ENABLED" "false" -}}
{{- $given := dict -}}
{{- range $name, $value := .Values.app.settings -}}
{{- $_ := set $given $name (ternary (printf "%.0f" (float64 $value)) (toString $value) (and (kindIs "float64" $value) (eq (floor $value) (float64 $value)))) -}}
{{- end -}}
{{- toYaml (merge (include "gatehouse.settings" . | fromYaml) $given $defaults) -}}
{{- end -}}
