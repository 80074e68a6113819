{{- define "optout.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "optout.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "optout.labels" -}}
{{ include "optout.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "optout.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret; nothing can be delivered without its files. */}}
{{- define "optout.secret" -}}
{{- required "existingSecret: name a Secret with the files that the settings name" .Values.existingSecret -}}
{{- end -}}

{{- define "optout.configMap" -}}
{{- .Values.existingConfigMap | default (include "optout.name" .) -}}
{{- end -}}

{{/* Where the private listener listens: everybody's address only where somebody was let in. */}}
{{- define "optout.adminBind" -}}
{{- ternary "0.0.0.0:8081" "127.0.0.1:8081" (not (empty .Values.private.adminNetworks)) -}}
{{- end -}}

{{/* The metadata of a pod; `component` is what it does. */}}
{{- define "optout.podMetadata" -}}
labels:
  {{- include "optout.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What every pod has: no token of the cluster, no rights, a root that can not be written. */}}
{{- define "optout.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "optout.container" -}}
image: {{ include "optout.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "optout.env" -}}
- {name: OPTOUT_CONFIG, value: /etc/optout/settings/optout.toml}
{{- if eq .Values.mode "scaled" }}
- {name: OPTOUT_DATABASE_FILE, value: /etc/optout/secrets/database-url}
- {name: OPTOUT_AUDIT_KEY_FILE, value: /etc/optout/secrets/audit}
- {name: OPTOUT_SIGNING_KEY_FILE, value: /etc/optout/secrets/signing.pem}
{{- else }}
- {name: OPTOUT_DATABASE, value: "sqlite:////data/optout.db"}
- {name: OPTOUT_AUDIT_KEY_FILE, value: /data/secrets/audit}
- {name: OPTOUT_SIGNING_KEY_FILE, value: /data/secrets/signing.pem}
{{- end }}
{{- with .Values.trustedProxies }}
- {name: OPTOUT_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- with .Values.private.adminNetworks }}
- {name: OPTOUT_ADMIN_NETWORKS, value: {{ join "," . | quote }}}
{{- end }}
{{- with .Values.private.ingress }}
{{- if .enabled }}
- {name: OPTOUT_ADMIN__URL, value: {{ printf "https://%s" .host | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "optout.mounts" -}}
- {name: settings, mountPath: /etc/optout/settings, readOnly: true}
- {name: secrets, mountPath: /etc/optout/secrets, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "optout.volumes" -}}
- name: settings
  configMap: {name: {{ include "optout.configMap" . }}}
- name: secrets
  secret:
    secretName: {{ include "optout.secret" . }}
    defaultMode: 0440  # a secret that everybody may read is refused
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Asked from within: the node's own address need not be let in to the private listener. */}}
{{- define "optout.ask" -}}
exec:
  command:
    - python3
    - -c
    - from urllib.request import urlopen; urlopen('http://127.0.0.1:8081{{ . }}', timeout=3)
timeoutSeconds: 5
{{- end -}}

{{- define "optout.webProbes" -}}
startupProbe:
  httpGet: {path: /healthz, port: public}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: public}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
readinessProbe:
  {{- include "optout.ask" "/readyz" | nindent 2 }}
  periodSeconds: 10
  failureThreshold: 2
# The port closes at SIGTERM; until then whoever forwards has time to hear of it.
lifecycle:
  preStop:
    exec: {command: [sleep, "5"]}
{{- end -}}

{{- define "optout.ports" -}}
- {name: public, containerPort: 8080}
- {name: private, containerPort: 8081}
{{- end -}}

{{- define "optout.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "optout.selector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end -}}
