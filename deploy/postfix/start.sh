#!/bin/sh
# Settings from the environment, then Postfix in the foreground.
set -eu
: "${MAIL_HOSTNAME:?the name this relay says in EHLO; its reverse DNS must agree}"

[ -e /etc/postfix/main.cf ] || : >/etc/postfix/main.cf

# A container is a jail already, and Debian's chroot inside it would lack resolv.conf: no name would be found.
postconf -F '*/*/chroot = n'
postconf -e \
  "compatibility_level = 3.6" \
  "myhostname = $MAIL_HOSTNAME" \
  "mydestination =" \
  "local_transport = error:this relay keeps no mail" \
  "alias_maps =" \
  "alias_database =" \
  "relayhost = ${RELAYHOST:-}" \
  "mynetworks = 127.0.0.0/8 ${RELAY_FOR:?the network of the container that may send, such as 172.30.25.0/24}" \
  "smtpd_relay_restrictions = permit_mynetworks, reject" \
  "smtp_tls_security_level = ${RELAY_TLS:-may}" \
  "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt" \
  "message_size_limit = 1048576" \
  "maillog_file = /dev/stdout"

exec postfix start-fg
