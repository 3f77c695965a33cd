#!/bin/sh
# Settings from the environment, then Postfix in the foreground.
set -eu
: "${MAIL_HOSTNAME:?the name this relay says in EHLO; its reverse DNS must agree}"

postconf -e \
  "myhostname = $MAIL_HOSTNAME" \
  "mydestination =" \
  "relayhost = ${RELAYHOST:-}" \
  "mynetworks = 127.0.0.0/8 ${RELAY_FOR:?the network of the container that may send, such as 172.30.25.0/24}" \
  "smtpd_relay_restrictions = permit_mynetworks, reject" \
  "smtp_tls_security_level = ${RELAY_TLS:-may}" \
  "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt" \
  "message_size_limit = 1048576" \
  "maillog_file = /dev/stdout"

exec postfix start-fg
