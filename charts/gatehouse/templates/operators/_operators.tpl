{{/* What the two operators have in common: all but their env. */}}

{{/* The account with its rights, the Service for metrics, and the Deployment
     up to its container's env. Give what podMetadata and podSpec need, and the
     names of more rules. */}}
{{- define "gatehouse.operator" -}}
{{- $root := .root -}}
{{- $name := include "gatehouse.named" (list $root .component) -}}
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "gatehouse.metadata" . | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{- include "gatehouse.metadata" . | nindent 2 }}
rules:
  {{- range $part := prepend (default (list) .moreRules) .component }}
  {{- $root.Files.Get (printf "files/%s-rules.yaml" $part) | replace "RELEASE" (include "gatehouse.fullname" $root) | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{- include "gatehouse.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $name }}
    namespace: {{ $root.Release.Namespace | quote }}
---
apiVersion: v1
kind: Service
metadata: {{- include "gatehouse.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector: {{- include "gatehouse.selector" . | nindent 4 }}
  ports:
    - {name: management, port: 8080, targetPort: management}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "gatehouse.metadata" . | nindent 2 }}
spec:
  {{- if hasKey .pods "replicas" }}
  replicas: {{ .pods.replicas }}
  {{- else }}
  replicas: 1
  # Never two at a time.
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels: {{- include "gatehouse.selector" . | nindent 6 }}
  template:
    metadata: {{- include "gatehouse.podMetadata" . | nindent 6 }}
    spec:
      {{- include "gatehouse.podSpec" . | nindent 6 }}
      containers:
        - name: operator
          {{- include "gatehouse.container" (merge (dict "image" $root.Values.operators.image) .) | nindent 10 }}
          command: [python, -m, gatehouse_operator.main_{{ .component | trimPrefix "operator-" }}]
          ports:
            - {name: management, containerPort: 8080}
          startupProbe: {{- include "gatehouse.probe" (dict "path" "/livez" "port" "management" "period" 2 "failures" 30) | nindent 12 }}
          livenessProbe: {{- include "gatehouse.probe" (dict "path" "/livez" "port" "management" "failures" 6) | nindent 12 }}
          readinessProbe: {{- include "gatehouse.probe" (dict "path" "/readyz" "port" "management") | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- include "gatehouse.trustMount" $root | nindent 12 }}
            {{- with .pods.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
{{- end -}}

{{- define "gatehouse.operatorEnv" -}}
{{ include "gatehouse.fromField" (dict "name" "NAMESPACE" "path" "metadata.namespace") }}
- name: RELEASE
  value: {{ include "gatehouse.fullname" . }}
{{- end -}}

{{/* The end of an operator's Deployment. */}}
{{- define "gatehouse.operatorVolumes" }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- include "gatehouse.trustVolume" .root | nindent 8 }}
        {{- with .pods.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}
