/**
 * Writes what a change of the source must keep to a folder, one file per subject. Run it before and after the change, and compare the
 * two folders with `diff -r`. See CONTRIBUTING.md.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';

