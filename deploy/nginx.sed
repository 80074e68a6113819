# nginx.conf in a container: nobody is root, and one folder, in memory, may be written.
/^user /d
s|/run/nginx.pid|/tmp/nginx.pid|
s|/var/lib/nginx/|/tmp/|
s|/var/cache/nginx-choice|/tmp/choice|
/proxy_temp_path/i\    fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
