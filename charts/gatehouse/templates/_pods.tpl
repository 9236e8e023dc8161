{{/* What pods have in common; every one is fit for Pod Security `restricted`. */}}

{{/* Labels and annotations of a pod. Give root, component and pods, and its
     key in secrets.existing: what it reads only when it starts, such as the
     rights of Redis' users, is in force when that has changed. */}}
{{- define "gatehouse.podMetadata" -}}
labels: {{- include "gatehouse.labels" (merge (dict "more" .pods.labels) .) | nindent 2 }}
{{- $annotations := merge (dict) (default (dict) .annotations) .pods.annotations }}
{{- with .secret }}
{{- $made := index (include "gatehouse.secretData" $.root | fromYaml) . }}
{{- $annotations = merge (dict "checksum/secret" ($made | toJson | sha256sum)) $annotations }}
{{- end }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pod but its containers. Give root, component, pods, user, and
     account where it is not the one without any rights. */}}
{{- define "gatehouse.podSpec" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "gatehouse.named" (list $root (default "app" .account)) }}
automountServiceAccountToken: {{ not (empty .account) }}
enableServiceLinks: false
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pods.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pods.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pods.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- with .pods.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "gatehouse.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* A container but its command and env. Give root, image, pods, and
     isWritable if the program writes beside its own files. */}}
{{- define "gatehouse.container" -}}
image: {{ include "gatehouse.image" . | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: {{ not .isWritable }}
resources: {{- toYaml .pods.resources | nindent 2 }}
{{- end -}}

{{/* A probe by HTTP. Give path, port, and how often. */}}
{{- define "gatehouse.probe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}}
periodSeconds: {{ default 5 .period }}
timeoutSeconds: {{ default 3 .timeout }}
failureThreshold: {{ default 3 .failures }}
{{- end -}}

{{/* A variable whose value a Secret has. Give name, secret, key. */}}
{{- define "gatehouse.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .isOptional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* A variable with a field of the pod. Give name and path. */}}
{{- define "gatehouse.fromField" -}}
- name: {{ .name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ .path }}
{{- end -}}

{{/* The certificates that are trusted, as YAML: file name -> {secret, key}. */}}
{{- define "gatehouse.trust" -}}
{{- $values := .Values -}}
{{- if ne $values.keycloak.mode "external" }}
keycloak.crt: {secret: {{ include "gatehouse.secret" (list . "keycloakTls") }}, key: ca.crt}
{{- else if $values.keycloak.external.ca.secret }}
keycloak.crt: {secret: {{ $values.keycloak.external.ca.secret }}, key: {{ $values.keycloak.external.ca.key }}}
{{- end }}
{{- if eq $values.postgres.mode "operator" }}
postgres.crt: {secret: {{ include "gatehouse.named" (list . "postgres-ca") }}, key: ca.crt}
{{- else if and (eq $values.postgres.mode "external") $values.postgres.external.ca.secret }}
postgres.crt: {secret: {{ $values.postgres.external.ca.secret }}, key: {{ $values.postgres.external.ca.key }}}
{{- end }}
{{- if and (eq $values.redis.mode "external") $values.redis.external.ca.secret }}
redis.crt: {secret: {{ $values.redis.external.ca.secret }}, key: {{ $values.redis.external.ca.key }}}
{{- end }}
{{- end -}}

{{/* Where a certificate is mounted; nothing if there is none. Give root and
     file name. */}}
{{- define "gatehouse.trusted" -}}
{{- $trust := include "gatehouse.trust" (index . 0) | fromYaml -}}
{{- if hasKey $trust (index . 1) }}/etc/gatehouse/trust/{{ index . 1 }}{{ end -}}
{{- end -}}

{{/* The volume with all of them; nothing if there are none. */}}
{{- define "gatehouse.trustVolume" -}}
{{- with include "gatehouse.trust" . | fromYaml }}
- name: trust
  projected:
    sources:
      {{- range $file, $from := . }}
      - secret:
          name: {{ $from.secret }}
          items: [{key: {{ $from.key }}, path: {{ $file }}}]
      {{- end }}
{{- end }}
{{- end -}}

{{- define "gatehouse.trustMount" -}}
{{- if include "gatehouse.trust" . | fromYaml }}
- {name: trust, mountPath: /etc/gatehouse/trust, readOnly: true}
{{- end }}
{{- end -}}
