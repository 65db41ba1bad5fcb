{{- define "visavis.name" -}}
{{- if contains "visavis" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-visavis" (.Release.Name | trunc 42 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- /* The UDP port that is open on the pod's node for media. */ -}}
{{- define "visavis.mediaPort" -}}
{{- if .Values.turn.enabled }}{{ .Values.media.port }}{{ else }}{{ regexFind ":[0-9]+$" (urlParse .Values.publicUrl).host | trimPrefix ":" | default "443" }}{{ end }}
{{- end }}

{{- define "visavis.selector" -}}
app.kubernetes.io/name: visavis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "visavis.labels" -}}
{{ include "visavis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
