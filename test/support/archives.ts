/** The reader and writer of archives, for tests of services. */
export { TarArchives } from '#drivers/archives/archives.ts';
