{{- define "edge.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "edge.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "edge.labels" -}}
{{ include "edge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "edge.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if .Values.redis.enabled }}
{{- $cache := deepCopy (default dict $config.cache) }}
{{- $redis := merge (default dict $cache.redis) (dict "url" "file:/etc/edge/redis/url" "cluster" true) }}
{{- $_ := set $cache "redis" $redis }}
{{- $_ := set $config "cache" $cache }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "edge.port" -}}
{{ dig "server" "port" 8080 .Values.config }}
{{- end }}

{{- define "edge.hardened" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "edge.scheme" -}}
{{- $tls := dig "server" "tls" dict .Values.config }}
{{- if and (dig "client_ca" "" $tls) (ne (dig "client_certificates" "required" $tls) "optional") }}
{{- fail "config.server.tls: Kubernetes asks for health without a certificate, which client_certificates: required does not let in" }}
{{- end }}
{{- ternary "HTTP" "HTTPS" (empty $tls) }}
{{- end }}

{{- define "edge.dns" -}}
- to: {{- toYaml .Values.networkPolicy.dns.to | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
