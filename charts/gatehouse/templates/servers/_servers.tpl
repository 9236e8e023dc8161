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
