import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderTemplate } from './template.ts';

const data = {
  Name: 'web',
  State: { Status: 'running', Pid: 42, Paused: false },
  Env: ['A=b', 'C=d'],
  Labels: { 'com.example/x': 'y', a: 'b' },
  Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }], '443/tcp': null },
  Nothing: null,
};
const render = (template: string): string => renderTemplate(template, data);

test('fields are printed as Go prints them', () => {
  assert.equal(render('{{.Name}} {{.State.Pid}} {{.State.Paused}}'), 'web 42 false');
  assert.equal(render('{{.Env}} {{.Labels}} {{.Nothing}}'), '[A=b C=d] map[a:b com.example/x:y] <no value>');
  assert.equal(render('{{ .Name -}} \n x {{- "y" }}'), 'webxy');
});

test('the templates that people use of docker inspect', () => {
  assert.equal(render('{{json .Labels}}'), '{"com.example/x":"y","a":"b"}');
  assert.equal(render('{{index .Labels "com.example/x"}}'), 'y');
  assert.equal(render('{{range .Env}}{{println .}}{{end}}'), 'A=b\nC=d\n');
  assert.equal(render('{{(index (index .Ports "80/tcp") 0).HostPort}}'), '8080');
  assert.equal(
    render(
      '{{range $port, $at := .Ports}}{{if $at}}{{$port}}={{(index $at 0).HostPort}} {{else}}{{$port}} shut {{end}}{{end}}',
    ),
    '443/tcp shut 80/tcp=8080 ',
  );
  assert.equal(render('{{.Name | upper | printf "%-5s%d" "a"}} {{printf "%q" (upper .Name)}}'), 'a    WEB "WEB"');
  assert.equal(render('{{join .Env ","}} {{len .Env}} {{lower "ABC"}}'), 'A=b,C=d 2 abc');
  assert.equal(render('{{with .State}}{{.Status}} of {{$.Name}}{{end}}'), 'running of web');
  assert.equal(render('{{if eq .State.Status "running" "paused"}}up{{else}}down{{end}}'), 'up');
  assert.equal(render('{{if .Nothing}}1{{else if not .State.Paused}}2{{end}}'), '2');
  assert.equal(render('{{$x := .Name}}{{$x}}'), 'web');
});

test('what is wrong is said', () => {
  assert.throws(() => render('{{.Nope}}'), /there is no field "Nope"/);
  assert.throws(() => render('{{.Name'), /unclosed action/);
  assert.throws(() => render('{{nope .Name}}'), /there is no function "nope"; known are json/);
  assert.throws(() => render('{{range .Env}}x'), /has no \{\{end\}\}/);
  assert.throws(() => render('{{end}}'), /unexpected \{\{end\}\}/);
  assert.throws(() => render('{{$y}}'), /undefined variable "\$y"/);
  assert.throws(() => render('{{constructor}}'), /there is no function "constructor"/);
});
