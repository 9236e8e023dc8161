{{/* Every Secret of this release, and where its values come from. */}}

{{/* The name of a Secret. Give root, and its key in secrets.existing. */}}
{{- define "gatehouse.secret" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- if eq $root.Values.secrets.mode "existing" -}}
{{- $name := index $root.Values.secrets.existing $key -}}
{{- if and (eq $key "migrations") (not $root.Values.postgres.external.owner) (eq $root.Values.postgres.mode "external") -}}
{{- $name = default $root.Values.secrets.existing.service $name -}}
{{- end -}}
{{- required (printf "secrets.existing.%s is needed: secrets.mode is existing" $key) $name -}}
{{- else -}}
{{- include "gatehouse.named" (list $root (printf "%s-secret" (kebabcase $key))) -}}
{{- end -}}
{{- end -}}

{{/* What each Secret has. ${name} stands for a password that is made of the
     seed and its name, ${name:sha256} for its digest. */}}
{{- define "gatehouse.secretData" -}}
{{- $values := .Values -}}
service:
  db-password: ${service-db}
  redis-password: ${service-redis}
  rbac-signing-key: ${rbac-signing}
  keycloak-service-client-secret: ${service-client}
{{- if and (ne $values.migrations.mode "none") (ne $values.postgres.mode "operator") }}
migrations:
  db-password: ${owner-db}
{{- end }}
{{- if $values.operators.rbac.enabled }}
operatorRbac:
  signing-key: ${rbac-signing}
  redis-password: ${operator-redis}
{{- end }}
{{- if $values.operators.keycloak.enabled }}
operatorKeycloak:
  bootstrap-client-id: gatehouse-bootstrap
  bootstrap-client-secret: ${bootstrap-client}
{{- end }}
{{- if eq $values.postgres.mode "operator" }}
postgresService:
  username: gatehouse
  password: ${service-db}
{{- if ne $values.keycloak.mode "external" }}
postgresKeycloak:
  username: keycloak
  password: ${keycloak-db}
{{- end }}
{{- else }}
postgres:
  postgres-password: ${postgres}
  owner-password: ${owner-db}
  service-password: ${service-db}
  keycloak-password: ${keycloak-db}
  monitor-password: ${monitor-db}
{{- end }}
{{- range $server := list "postgres" "redis" }}
{{- if (index $values $server).metrics.enabled }}
{{ $server }}Exporter:
  password: ${monitor-{{ ternary "db" "redis" (eq $server "postgres") }}}
{{- end }}
{{- end }}
redis:
  probe-password: ${probe-redis}
  users.acl: |
    user default off
    user probe on #${probe-redis:sha256} resetchannels -@all +ping +info
    user monitor on #${monitor-redis:sha256} resetchannels -@all +ping +info +client|setname
    user service on #${service-redis:sha256} resetchannels %R~rbac:* ~ack:* ~gatehouse:* -@all +@read +@write +@connection +@transaction +@scripting -@dangerous +info +time (+subscribe +psubscribe +unsubscribe +punsubscribe &rbac:* &gatehouse:*) (+publish &gatehouse:*)
    user operator on #${operator-redis:sha256} resetchannels ~rbac:* %R~ack:* -@all +@read +set +eval +evalsha +script|load +@connection -@dangerous +info (+publish &rbac:*)
keycloak:
  db-password: ${keycloak-db}
{{- if eq $values.keycloak.mode "operator" }}
  db-username: {{ (include "gatehouse.keycloakDatabase" . | fromYaml).username | quote }}
  client-id: gatehouse-bootstrap
  client-secret: ${bootstrap-client}
{{- else }}
  bootstrap-client-id: gatehouse-bootstrap
  bootstrap-client-secret: ${bootstrap-client}
{{- end }}
{{- if $values.keycloak.realm.demo.enabled }}
demo:
  reader: ${demo-reader}
  editor: ${demo-editor}
  admin: ${demo-admin}
{{- end }}
{{- end -}}

{{/* The names that Keycloak's certificate is for. */}}
{{- define "gatehouse.keycloakNames" -}}
{{- $names := list -}}
{{- range $suffix := list "keycloak" "keycloak-service" -}}
{{- $name := include "gatehouse.named" (list $ $suffix) -}}
{{- $in := printf "%s.%s" $name $.Release.Namespace -}}
{{- $names = concat $names (list $name $in (printf "%s.svc" $in) (printf "%s.svc.cluster.local" $in)) -}}
{{- end -}}
{{ append $names "localhost" | join "," }}
{{- end -}}

{{/* The name of the Secret of which all passwords are made. */}}
{{- define "gatehouse.seedName" -}}
{{ include "gatehouse.named" (list . "seed") }}
{{- end -}}
