{{/* What the bundled servers have in common. */}}

{{/* A probe by a command. Give command, as a YAML list, and how often. */}}
{{- define "gatehouse.serverProbe" -}}
exec: {command: {{ .command }}}
periodSeconds: {{ default 10 .period }}
timeoutSeconds: 5
failureThreshold: {{ default 3 .failures }}
{{- end -}}

{{/* The labels of the pods that CloudNativePG makes. */}}
{{- define "gatehouse.postgresPods" -}}
cnpg.io/cluster: {{ include "gatehouse.named" (list . "postgres") }}
{{- end -}}

{{/* The claim of a StatefulSet. Give root, component and storage. */}}
{{- define "gatehouse.claim" -}}
volumeClaimTemplates:
  - metadata:
      name: data
      labels: {{- include "gatehouse.selector" . | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storage.className }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests: {storage: {{ .storage.size }}}
{{- end -}}

{{/* Lay some values over others, also false, 0 and what is empty, which
     Helm's own merge takes for not given. Give both; the first is changed. */}}
{{- define "gatehouse.overlay" -}}
{{- $made := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $made $key)) -}}
{{- include "gatehouse.overlay" (list (get $made $key) $value) -}}
{{- else -}}
{{- $_ := set $made $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
